"""Texture phantoms: organs share every value, and nothing but the arrangement of values tells them apart."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.datasets.fetch import fetch
from medssl.datasets.texture_set import write_textures
from medssl.datasets.textures import MEAN, ORGANS, SPREAD, TEXTURES, arranged_like, texture_field, texture_phantom
from medssl.errors import UsageError
from medssl.io.read import read, read_label
from medssl.manifest import Manifest

SHAPE = (32, 32, 32)


def neighbours(data, inside, axis):
    """Correlation of voxels with the next one along an axis, both in the same organ."""
    a, b = (np.take(data, range(start, start + data.shape[axis] - 1), axis) for start in (0, 1))
    both = np.take(inside, range(data.shape[axis] - 1), axis) & np.take(inside, range(1, data.shape[axis]), axis)
    return np.corrcoef(a[both], b[both])[0, 1]


@pytest.mark.parametrize("index", [0, 1, 7])
def test_every_organ_has_the_same_mean_and_variance_and_nearly_the_same_histogram(index):
    scan, label = texture_phantom(0, index, SHAPE, scanned=False)
    assert set(np.unique(label.data)) == set(ORGANS)
    whole = np.sort((scan.data[0].ravel() - MEAN) / SPREAD)
    for organ in ORGANS:
        values = scan.data[label.data == organ].astype(np.float64)
        assert values.mean() == pytest.approx(MEAN, abs=1e-4)
        assert values.std() == pytest.approx(SPREAD, abs=1e-4)
        quantiles = np.quantile((values - MEAN) / SPREAD, [0.1, 0.25, 0.5, 0.75, 0.9])
        assert quantiles == pytest.approx(np.quantile(whole, [0.1, 0.25, 0.5, 0.75, 0.9]), abs=0.1)


def test_the_scanner_leaves_organs_alike_over_patients():
    means = []
    for index in range(12):
        scan, label = texture_phantom(0, index, SHAPE)
        data = scan.data / scan.data.mean()
        means.append([[data[label.data == organ].mean(), data[label.data == organ].std()] for organ in ORGANS])
    found = np.asarray(means)
    # what an organ's mean and spread differ by is less than what patients differ by
    assert np.ptp(found.mean(0), axis=0) == pytest.approx([0, 0], abs=0.05)
    assert (np.ptp(found.mean(0), axis=0) < 1.5 * found.std(0).max(0)).all()


def test_textures_differ_in_correlation():
    found = {}
    for value, name in ORGANS.items():
        axes = []
        for index in range(6):
            scan, label = texture_phantom(1, index, SHAPE, scanned=False)
            inside = label.data[0] == value
            axes.append([neighbours(scan.data[0], inside, axis) for axis in range(3)])
        found[name] = np.asarray(axes)
    mean = {name: values.mean() for name, values in found.items()}
    assert mean["fine"] < mean["medium"] - 0.15 < mean["coarse"] - 0.2
    # fibres and sheets change faster along some axes than along others, the round ones do not
    uneven = {name: np.ptp(values, axis=1).mean() for name, values in found.items()}
    assert min(uneven["fibres"], uneven["sheets"]) > 2 * max(uneven["medium"], uneven["coarse"])


def test_ripples_come_back_after_a_wavelength():
    texture = TEXTURES["ripples"]
    field = texture_field(texture, np.random.default_rng(0), (40, 40, 40))
    field -= field.mean()
    at = [np.mean(field * np.roll(field, shift, 0)) / field.var() for shift in (4, 6)]
    # a thin shell of waves is correlated like sin(k r) / k r; this one is a quarter of its radius thick
    assert at[0] < 0 < at[1]


def test_a_draw_is_a_function_of_seed_and_index_and_organs_move():
    one, label = texture_phantom(3, 5, SHAPE)
    again, same = texture_phantom(3, 5, SHAPE)
    other, moved = texture_phantom(3, 6, SHAPE)
    assert np.array_equal(one.data, again.data)
    assert np.array_equal(label.data, same.data)
    assert (label.data != moved.data).mean() > 0.5
    assert not np.array_equal(one.data, other.data)
    assert one.data.dtype == np.float32
    assert one.data.min() >= 0
    clean, _ = texture_phantom(3, 5, SHAPE, scanned=False)
    assert np.corrcoef(clean.data.ravel(), one.data.ravel())[0, 1] > 0.7


def test_textures_have_a_size_in_millimetres():
    texture = TEXTURES["medium"]
    fine, wide = (texture_field(texture, np.random.default_rng(1), SHAPE, (d,) * 3) for d in (1.0, 2.0))
    near = [np.corrcoef(f.ravel(), np.roll(f, 1, 0).ravel())[0, 1] for f in (fine, wide)]
    # a Gaussian filter of length L gives exp(-d² / 4 L²)
    assert near == pytest.approx([np.exp(-(d**2) / (4 * 1.4**2)) for d in (1.0, 2.0)], abs=0.05)


def test_values_keep_the_order_of_the_field():
    rng = np.random.default_rng(0)
    field = rng.normal(size=50) ** 3
    values = arranged_like(field, rng)
    assert np.array_equal(np.argsort(values), np.argsort(field))
    assert (values.mean(), values.std()) == pytest.approx((0, 1))


@pytest.mark.parametrize(("shape", "spacing"), [((7, 16, 16), (1.0,) * 3), ((16, 16, 16), (1.0, 0.0, 1.0))])
def test_wrong_sizes(shape, spacing):
    with pytest.raises(UsageError, match="8 voxels or more"):
        texture_phantom(0, 0, shape, spacing)


def test_a_set_has_two_splits_by_patient(tmp_path):
    told = []
    path = write_textures(tmp_path / "t", 5, 2, shape=(16, 16, 16), progress=lambda *args: told.append(args))
    manifest = Manifest.read(path)
    assert manifest.classes == ORGANS
    assert [record.split for record in manifest.records] == ["train"] * 3 + ["test"] * 2
    assert len({record.patient_id for record in manifest.records}) == 5
    assert told[-1] == (5, 5, "making phantoms")
    record = manifest.records[4]
    scan, label = texture_phantom(0, 4, (16, 16, 16))
    assert np.array_equal(read(manifest.resolve(record)).data, scan.data)
    assert np.array_equal(read_label(path.parent / record.label).data, label.data)
    with pytest.raises(UsageError, match="both splits, got 5 of 5"):
        write_textures(tmp_path / "u", 5, 5)


def test_the_set_is_fetched_by_name_and_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr("medssl.datasets.texture_set.SHAPE", (16, 16, 16))
    path = fetch("textures", cache=tmp_path)
    stamp = path.stat().st_mtime_ns
    assert fetch("textures", cache=tmp_path).stat().st_mtime_ns == stamp
    assert len(Manifest.read(path).records) == 40
