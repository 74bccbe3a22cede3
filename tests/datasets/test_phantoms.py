"""Phantoms: what they promise, in numbers."""

from __future__ import annotations

import time

import numpy as np
import pytest

from medssl.datasets.label_groups import GROUPS
from medssl.datasets.phantom_set import cached_phantoms, write_phantoms
from medssl.datasets.phantoms import phantom
from medssl.errors import IntegrityError, UsageError
from medssl.io.read import read, read_label
from medssl.manifest import Manifest
from medssl.volume import reorient


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_every_group_is_there_and_geometry_is_as_asked(modality, index):
    scan, label = phantom(0, index, modality, spacing_mm=(3.0, 3.5, 5.0), shape=(48, 40, 32))
    assert scan.data.shape == label.data.shape == (1, 48, 40, 32)
    assert scan.data.dtype == (np.int16 if modality == "CT" else np.float32)
    assert label.data.dtype == np.uint8
    assert scan.spacing_mm == pytest.approx((3.0, 3.5, 5.0))
    assert np.array_equal(scan.affine, label.affine)
    assert scan.tags == {"modality": modality}
    assert set(np.unique(label.data)) == {0, *GROUPS}
    off_axis = scan.affine[:3, :3] / np.asarray(scan.spacing_mm)
    assert 0.01 < np.sort(np.abs(off_axis), axis=None)[-4] < 0.5  # tilted, but not lying


def test_a_draw_is_a_function_of_seed_index_and_noise():
    one, label = phantom(3, 5)
    again, _ = phantom(3, 5)
    noisy, same_label = phantom(3, 5, noise=1)
    other, _ = phantom(3, 6)
    assert np.array_equal(one.data, again.data)
    assert not np.array_equal(one.data, noisy.data)
    assert np.array_equal(label.data, same_label.data)
    assert not np.array_equal(one.affine, other.affine)


def test_the_same_patient_at_another_spacing_is_the_same_body():
    _, fine_label = phantom(0, 4, shape=(64, 64, 64), spacing_mm=(2.0, 2.0, 2.0))
    _, coarse_label = phantom(0, 4, shape=(32, 32, 32), spacing_mm=(4.0, 4.0, 4.0))
    picked = fine_label.data[0, ::2, ::2, ::2]
    agree = picked[picked > 0] == coarse_label.data[0][picked > 0]
    # voxel centres of the two grids differ by half a fine voxel, so only borders disagree
    assert agree.mean() > 0.8


def test_ct_values_are_hounsfield_and_the_liver_is_on_the_right():
    scan, label = phantom(0, 0, "CT", shape=(64, 64, 64))
    scan, label = reorient(scan), reorient(label)
    data, groups = scan.data[0], label.data[0]
    assert data.min() >= -1024
    assert np.median(data[groups == 4]) > 200
    assert -1010 < np.median(data[groups == 0]) < 100
    i = np.argwhere(groups == 1)[:, 0]
    assert (i > 32).mean() > 0.7  # RAS: i grows to the right
    assert np.argwhere(groups == 4)[:, 1].mean() < 32  # the spine lies behind


def test_mr_is_not_negative_and_regions_differ():
    scan, _ = phantom(1, 0, "MR", region="chest")
    assert scan.data.min() >= 0
    _, abdomen = phantom(1, 0, "MR", region="abdomen")
    _, chest = phantom(1, 0, "MR", region="chest")
    assert (abdomen.data == 2).sum() > 3 * (chest.data == 2).sum()
    assert (chest.data == 3).sum() > (abdomen.data == 3).sum()


def test_a_phantom_is_fast():
    phantom(0, 0)
    start = time.process_time()
    phantom(0, 1)
    assert time.process_time() - start < 0.5  # 0.02 s where nothing else runs


@pytest.mark.parametrize(
    ("settings", "message"), [({"modality": "PET"}, "CT or MR"), ({"region": "leg"}, "one of trunk")]
)
def test_wrong_settings(settings, message):
    with pytest.raises(UsageError, match=message):
        phantom(0, 0, **settings)


@pytest.mark.parametrize("count", [4, 9])
def test_a_set_has_splits_labels_and_a_double(tmp_path, count):
    told: list[tuple[int, int, str]] = []
    path = write_phantoms(tmp_path / "p", count=count, seed=1, progress=lambda *args: told.append(args))
    manifest = Manifest.read(path)
    assert manifest.classes == GROUPS
    assert len(manifest.records) == count
    assert told[-1] == (count, count, "making phantoms")
    assert len({record.patient_id for record in manifest.records}) == count
    tests = [record for record in manifest.records if record.split == "test"]
    assert 1 <= len(tests) <= count // 3
    first, last = manifest.records[0], manifest.records[-1]
    assert (first.split, last.split, first.modality, first.targets) == ("train", "train", last.modality, last.targets)
    for record in manifest.records:
        scan = read(manifest.resolve(record))
        label = read_label(path.parent / record.label, like=scan)
        assert label.data.max() <= 5
    a, b = (read(manifest.resolve(record)) for record in (first, last))
    extent = [np.asarray(v.spacing_mm) * v.shape for v in (a, b)]
    assert extent[0] == pytest.approx(extent[1], rel=1e-5)
    assert b.spacing_mm[0] > 1.2 * a.spacing_mm[0]


def test_too_few_phantoms(tmp_path):
    with pytest.raises(UsageError, match="4 scans or more, got 3"):
        write_phantoms(tmp_path, count=3)


def test_cached_phantoms_are_made_once_and_checked(tmp_path):
    path = cached_phantoms(tmp_path)
    stamp = path.stat().st_mtime_ns
    assert cached_phantoms(tmp_path) == path
    assert path.stat().st_mtime_ns == stamp
    scan = path.parent / "images" / "phantom00.nii.gz"
    scan.write_bytes(scan.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="missing or was changed") as caught:
        cached_phantoms(tmp_path)
    assert caught.value.code == "hash"
    assert not path.exists()
    assert cached_phantoms(tmp_path).exists()
