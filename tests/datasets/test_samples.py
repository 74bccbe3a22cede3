"""The samples' labels and rows, on a made tree in place of the packages."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from medssl.datasets.cache import cache_folder
from medssl.datasets.fetch import fetch
from medssl.datasets.sample_sources import MEMBERS, NAME_TABLE, PARTLY, PINS, SAMPLES, Sample
from medssl.datasets.samples import EDITION, UNKNOWN, build_samples, fetch_samples
from medssl.errors import InputError, IntegrityError, ResourceError
from medssl.io.read import read, read_label
from medssl.manifest import Manifest

TABLE = "class_map = {'total': {1: 'liver', 2: 'lung_left', 7: 'aorta'}, 'total_mr': {1: 'aorta', 2: 'vertebrae'}}\n"
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
ROWS = (
    Sample("ct", "images/ct.nii.gz", "CT", "abdomen", "a", organs="total"),
    Sample("mr", "images/mr.nii.gz", "MR", "abdomen", "b", organs="total_mr", flags=("odd",)),
    Sample("chest", "images/chest.nii.gz", "CT", "chest", "c", test=True, organs=PARTLY),
    Sample("thick", "images/thick.nii.gz", "CT", "chest", "c", test=True, thin="images/chest.nii.gz"),
)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, affine), path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "samples"
    image = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.int16)
    for row in ROWS[:3]:
        save(folder / row.image, image)
    organs = np.zeros((4, 5, 6), np.uint8)
    organs[0], organs[1], organs[2, 0] = 1, 2, 7
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, 3
    save(folder / "organs/ct.nii.gz", organs[::-1], AFFINE @ flip)  # stored the other way round
    save(folder / "organs/mr.nii.gz", np.where(organs == 7, 0, organs))
    shift = np.eye(4)
    shift[:3, 3] = (1, 0, 2)
    save(folder / "organs/chest/heart.nii.gz", np.ones((2, 2, 2), np.uint8), AFFINE @ shift)
    (folder / "masks").mkdir()
    (folder / NAME_TABLE).write_text(TABLE)
    return folder


def test_labels_are_grouped_by_name_on_the_images_own_grid(tree):
    manifest = Manifest.read(build_samples(tree, ROWS))
    ct, mr, chest, _ = manifest.records
    label = read_label(tree / ct.label, like=read(manifest.resolve(ct))).data[0]
    assert (label[0] == 1).all()
    assert (label[1] == 0).all()  # a lung is in no group
    assert (label[2, 0] == 3).all()
    label = read_label(tree / mr.label, like=read(manifest.resolve(mr))).data[0]
    assert (label[0] == 3).all()  # value 1 means another organ in MR
    assert (label[1] == 4).all()
    assert manifest.classes[3] == "heart_vessels"
    assert (mr.flags, chest.label, chest.split) == ("odd", "labels/chest.nii.gz", "test")
    assert chest.targets["region"] == "chest"


def test_what_nobody_marked_is_unknown(tree):
    manifest = Manifest.read(build_samples(tree, ROWS))
    partial = read_label(tree / manifest.records[2].label).data[0]
    assert (partial[1:3, :2, 2:4] == 3).all()
    assert UNKNOWN == -1
    assert (partial == UNKNOWN).sum() == partial.size - 8


def test_a_thick_series_is_the_mean_of_the_thin_ones_slices(tree):
    manifest = Manifest.read(build_samples(tree, ROWS))
    thin, thick = (read(manifest.resolve(record)) for record in manifest.records[2:])
    assert thick.shape == (4, 5, 2)
    assert np.array_equal(thick.data[0, ..., 1], np.rint(thin.data[0, ..., 3:6].mean(axis=-1)))
    assert thick.affine @ [0, 0, 1, 1] == pytest.approx(thin.affine @ [0, 0, 4, 1])


def test_only_what_a_user_needs_is_left(tree):
    build_samples(tree, ROWS)
    assert not (tree / "organs").exists()
    assert not (tree / NAME_TABLE).exists()
    assert (tree / "samples.yaml").exists()
    assert (tree / "files.sha256").read_text().startswith(f"# {EDITION}\n")


def test_a_label_on_another_grid_is_refused(tree):
    save(tree / "organs/ct.nii.gz", np.ones((4, 5, 6), np.uint8), np.diag([2.0, 2.0, 3.1, 1.0]))
    with pytest.raises(InputError, match="grid is not the image's"):
        build_samples(tree, ROWS)


def test_a_cached_tree_is_used_without_a_network_and_checked(tree, monkeypatch):
    monkeypatch.setenv("MEDSSL_OFFLINE", "1")
    build_samples(tree, ROWS)
    assert fetch_samples(tree.parent) == tree / "samples.csv"
    assert fetch("samples", tree.parent) == tree / "samples.csv"
    (tree / "images/ct.nii.gz").write_bytes(b"changed")
    with pytest.raises(IntegrityError, match="missing or was changed") as caught:
        fetch_samples(tree.parent)
    assert (caught.value.code, caught.value.exit_code) == ("hash", 4)
    assert (tree.parent / "samples.bad").is_dir()
    with pytest.raises(ResourceError, match="MEDSSL_OFFLINE"):
        fetch_samples(tree.parent)
    assert sorted(path.name for path in tree.parent.iterdir()) == ["samples.bad"]


def test_an_older_edition_is_not_used(tree, monkeypatch):
    monkeypatch.setenv("MEDSSL_OFFLINE", "1")
    build_samples(tree, ROWS)
    sums = tree / "files.sha256"
    sums.write_text(sums.read_text().replace(EDITION, "samples 0"))
    with pytest.raises(ResourceError, match="nothing is fetched"):
        fetch_samples(tree.parent)
    assert tree.exists()


def test_the_rows_fit_what_is_taken_from_the_packages():
    taken = {target for members in MEMBERS.values() for target in members.values()}
    assert set(MEMBERS) == {pin.name for pin in PINS}
    assert len(taken) == sum(len(members) for members in MEMBERS.values())
    for sample in SAMPLES:
        assert (
            sample.image in taken
            or sample.thin in taken
            or any(target.startswith(sample.image + "/") for target in taken)
        )
        marked = {target for target in taken if target.startswith(f"organs/{sample.name}")}
        assert bool(marked) == bool(sample.organs)
    patients = {s.patient for s in SAMPLES if s.test} & {s.patient for s in SAMPLES if not s.test}
    assert not patients
    assert sum(target.startswith("images/liver_ct/") for target in taken) == 20


def test_a_set_that_cannot_be_fetched_says_how_to_get_it(tmp_path):
    with pytest.raises(ResourceError, match="Task04_Hippocampus") as caught:
        fetch("hippocampus", tmp_path)
    assert caught.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c"
    assert cache_folder(tmp_path) == tmp_path
    monkeypatch.delenv("MEDSSL_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "medssl"
