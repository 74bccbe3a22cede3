"""What a check of a manifest tells beside the promises: copies within rounding, paths that are one, private columns."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from medssl import cli
from medssl.commands.manifest import check_manifest
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.volume import Volume, reorient


def noise(seed: int, dtype: type = np.int16) -> Volume:
    data = np.random.default_rng(seed).integers(-1000, 1000, (1, 12, 10, 8))
    return Volume(data.astype(dtype), np.diag([1.0, 2.0, 3.0, 1.0]))


def table(folder: Path, *lines: str, head: str = "image,patient_id,split") -> Path:
    path = folder / "m.csv"
    path.write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    return path


def told(path: Path, **options: object) -> list[tuple[int, str, str]]:
    report = check_manifest(path, **options)
    return [(problem["line"], problem["code"], problem["severity"]) for problem in report["problems"]]


def scaled_nifti(path: Path, volume: Volume) -> None:
    """The volume as 16-bit integers with a slope, as converters write floats."""
    import nibabel

    low, high = float(volume.data.min()), float(volume.data.max())
    slope = (high - low) / 65000
    image = nibabel.Nifti1Image(np.rint((volume.data[0] - low) / slope - 32500).astype(np.int16), volume.affine)
    image.header.set_slope_inter(slope, low + 32500 * slope)
    nibabel.save(image, path)


def test_a_copy_stored_with_a_slope_is_found(tmp_path):
    scan = Volume(np.random.default_rng(0).normal(0, 300, (1, 12, 10, 8)).astype(np.float32), np.eye(4))
    write(scan, tmp_path / "a.nii.gz")
    scaled_nifti(tmp_path / "b.nii.gz", reorient(scan, "LPI"))
    write(Volume(scan.data + np.float32(3), scan.affine), tmp_path / "c.nii.gz")
    report = check_manifest(table(tmp_path, "a.nii.gz,p1,train", "b.nii.gz,p2,test", "c.nii.gz,p3,test"))
    (line,) = report["lines"]
    assert "m.csv:3: duplicate scan: b.nii.gz is a voxel copy, within rounding, of a.nii.gz on line 2" in line
    assert report["duplicates"] == [[2, 3]]


@pytest.mark.parametrize(
    ("rows", "severity"),
    [
        (("a.nii,p1,train", "b.nii,p1,train"), "warning"),
        (("a.nii,p1,", "b.nii,p1,"), "warning"),
        (("a.nii,p1,", "b.nii,p2,"), "error"),
        (("a.nii,p1,train", "b.nii,p2,train"), "error"),
        (("a.nii,p1,train", "b.nii,p2,val"), "error"),
    ],
)
def test_a_copy_is_an_error_where_it_can_leak(tmp_path, rows, severity):
    write(noise(0), tmp_path / "a.nii")
    shutil.copy(tmp_path / "a.nii", tmp_path / "b.nii")
    assert told(table(tmp_path, *rows)) == [(3, "manifest-check", severity)]
    assert told(table(tmp_path, *rows), deep=False) == [(3, "manifest-check", severity)]


def test_many_copies_are_told_once_each(tmp_path):
    write(noise(0), tmp_path / "a.nii")
    shutil.copy(tmp_path / "a.nii", tmp_path / "b.nii")
    write(noise(0, np.float32), tmp_path / "c.nii.gz")
    write(noise(0, np.float64), tmp_path / "d.mha")
    write(noise(1), tmp_path / "e.nii")
    report = check_manifest(table(tmp_path, *(f"{name},{name},train" for name in ("e.nii", "d.mha", "c.nii.gz"))))
    assert report["duplicates"] == [[3, 4]]
    names = ("a.nii", "b.nii", "c.nii.gz", "d.mha", "e.nii")
    report = check_manifest(table(tmp_path, *(f"{name},{name},train" for name in names)))
    assert report["duplicates"] == [[2, 3, 4, 5]]
    assert [problem["line"] for problem in report["problems"]] == [3, 4, 5]


def test_paths_that_are_one_file(tmp_path):
    write(noise(0), tmp_path / "a.nii")
    write(noise(1), tmp_path / "A.nii")
    rows = ("a.nii,p1,train", "A.nii,p2,train", "./a.nii,p1,train")
    assert told(table(tmp_path, *rows), deep=False) == [
        (3, "manifest-path", "warning"),
        (4, "manifest-check", "error"),
    ]


def test_a_label_that_is_the_image_and_one_that_is_missing(tmp_path):
    write(noise(0), tmp_path / "a.nii")
    write(noise(1), tmp_path / "b.nii")
    path = table(tmp_path, "a.nii,p1,./a.nii", "b.nii,p2,gone.nii", head="image,patient_id,label")
    found = told(path)
    assert (2, "label", "error") in found
    assert (3, "manifest-path", "error") in found


def test_a_label_is_looked_at_where_its_image_is_broken(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"")
    (tmp_path / "l.nii").write_bytes(b"<html>")
    found = told(table(tmp_path, "a.nii,p1,l.nii", head="image,patient_id,label"))
    assert [code for _, code, _ in found] == ["format", "truncated"]


def test_columns_that_name_people_are_told_and_never_read(tmp_path):
    write(noise(0), tmp_path / "a.nii")
    path = table(tmp_path, "a.nii,p1,Doe^Jane,1944-06-06,61", head="image,patient_id,Patient Name,birth_date,age")
    assert told(path, deep=False) == [(1, "private", "warning"), (1, "private", "warning")]
    (record,) = Manifest.read(path).records
    assert record.targets == {"age": "61"}
    Manifest.read(path).write(tmp_path / "n.csv")
    assert "Doe" not in (tmp_path / "n.csv").read_text() + str(check_manifest(path))


def test_splits_spelled_differently(tmp_path):
    write(noise(0), tmp_path / "a.nii")
    write(noise(1), tmp_path / "b.nii")
    assert told(table(tmp_path, "a.nii,p1,train", "b.nii,p2,Train")) == [(3, "manifest-check", "warning")]


def test_folds_that_share_a_patient(tmp_path):
    for name in "ab":
        write(noise(ord(name)), tmp_path / f"{name}.nii")
    path = table(tmp_path, "a.nii,p1,0", "b.nii,p1,1", head="image,patient_id,fold")
    assert told(path) == [(3, "manifest-leak", "error")]


def test_volumes_of_one_file_are_rows_of_their_own(tmp_path):
    import nibabel

    data = np.random.default_rng(0).integers(0, 900, (6, 5, 4, 3)).astype(np.int16)
    data[..., 2] = data[..., 0]
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), tmp_path / "f.nii")
    rows = ("f.nii,p1,0", "f.nii,p1,1", "f.nii,p1,2", "f.nii,p1,9", "f.nii,p1,x", "f.nii,p1,")
    found = told(table(tmp_path, *rows, head="image,patient_id,volume"))
    assert found[0] == (4, "manifest-check", "warning")
    assert [(line, severity) for line, _, severity in found[1:]] == [(5, "error"), (6, "error"), (7, "error")]


def test_pipes_and_unreadable_rows_do_not_stop_a_check(tmp_path):
    os.mkfifo(tmp_path / "p.nii")
    (tmp_path / "empty").mkdir()
    write(noise(0), tmp_path / "a.nii")
    found = told(table(tmp_path, "p.nii,p1,", "empty,p2,", "a.nii,p3,"))
    assert [line for line, _, _ in found] == [2, 3]


def test_quick_reads_no_voxels(tmp_path, capfd):
    scan = noise(0)
    write(scan, tmp_path / "a.nii.gz")
    write(Volume(scan.data.astype(np.float32), scan.affine), tmp_path / "b.nii.gz")
    path = table(tmp_path, "a.nii.gz,p1,train", "b.nii.gz,p2,test")
    assert cli.run(["manifest", "check", str(path), "--quick"]) == 0
    assert cli.run(["manifest", "check", str(path)]) == 3
    assert "a voxel copy" in capfd.readouterr().out


def test_workers_change_nothing(tmp_path):
    for n in range(6):
        write(noise(n % 4), tmp_path / f"{n}.nii.gz")
    records = tuple(Record(f"{n}.nii.gz", f"p{n}") for n in range(6))
    Manifest(tmp_path / "m.csv", tmp_path, records).write(tmp_path / "m.csv")
    one = check_manifest(tmp_path / "m.csv", workers=1)
    assert check_manifest(tmp_path / "m.csv", workers=4) == one
    assert one["duplicates"] == [[2, 6], [3, 7]]
