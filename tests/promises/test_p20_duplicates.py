"""P20: one scan under several names is found whatever its bytes, dtype, storage order and format."""

from __future__ import annotations

import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest

import medssl
from medssl.cli import run
from tests.promises.series import AXIAL, save, slices, truth, turned, voxels

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def nifti(path, data, affine, **header):
    """A NIfTI file written by nibabel alone."""
    image = nib.Nifti1Image(data, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def flipped(data, affine, axes):
    """The same scan stored the other way round along these axes."""
    out, step = data, np.eye(4)
    for axis in axes:
        out = np.flip(out, axis)
        step[axis, axis], step[axis, 3] = -1, data.shape[axis] - 1
    return np.ascontiguousarray(out), affine @ step


def turned_about(data, affine, order):
    """The same scan with its axes stored in another order."""
    return np.ascontiguousarray(data.transpose(order)), affine[:, [*order, 3]]


def check(folder, names, splits=None):
    """The groups of duplicates and all problems of a manifest of these images, each of a patient of its own."""
    rows = [f"{name},P{n},{splits[n] if splits else ''}" for n, name in enumerate(names)]
    (folder / "m.csv").write_text("\n".join(["image,patient_id,split", *rows]) + "\n")
    report = medssl.check_manifest(folder / "m.csv", deep=True)
    doubles = [p for p in report["problems"] if "duplicate" in p["reason"]]
    return doubles, report


COPIES = {
    "bytes": lambda p, d, a: shutil.copyfile(nifti(p.parent / "x.nii", d, a), p),
    "compressed": lambda p, d, a: p.with_suffix(".nii.gz").write_bytes(
        gzip.compress(nifti(p.parent / "x.nii", d, a).read_bytes())
    ),
    "float32": lambda p, d, a: nifti(p, d.astype(np.float32), a),
    "float64": lambda p, d, a: nifti(p, d.astype(np.float64), a),
    "int32": lambda p, d, a: nifti(p, d.astype(np.int32), a),
    "flipped in i": lambda p, d, a: nifti(p, *flipped(d, a, [0])),
    "flipped in j and k": lambda p, d, a: nifti(p, *flipped(d, a, [1, 2])),
    "axes in another order": lambda p, d, a: nifti(p, *turned_about(d, a, (2, 0, 1))),
    "another order, flipped": lambda p, d, a: nifti(p, *flipped(*turned_about(d, a, (1, 0, 2)), [0, 2])),
    "another description": lambda p, d, a: nifti(p, d, a, descrip=b"resaved"),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_p20_a_copy_of_any_kind_is_found(tmp_path, copy):
    data, affine = voxels((6, 5, 4)), truth(turned(3))
    nifti(tmp_path / "a.nii", data, affine)
    nifti(tmp_path / "other.nii", data * data % 997, affine)
    copy(tmp_path / "b.nii", data, affine)
    second = next(name for name in ("b.nii", "b.nii.gz") if (tmp_path / name).exists())
    doubles, report = check(tmp_path, ["a.nii", "other.nii", second], ["train", "val", "val"])
    assert [problem["line"] for problem in doubles] == [4]
    assert doubles[0]["severity"] == "error"
    assert "a.nii" in doubles[0]["reason"]
    assert second in doubles[0]["reason"]
    assert "train" in doubles[0]["reason"]
    assert not report["ok"]


@pytest.mark.parametrize("directions", [AXIAL, turned(12)], ids=["axial", "oblique"])
def test_p20_dicom_and_nifti_of_one_scan_are_one(tmp_path, directions):
    save(slices(directions=directions), tmp_path / "dicom")
    nifti(tmp_path / "a.nii.gz", voxels().astype(np.float32), truth(directions))
    medssl.convert(tmp_path / "dicom", tmp_path / "b.nrrd")
    doubles, _ = check(tmp_path, ["dicom", "a.nii.gz", "b.nrrd"], ["train", "test", "val"])
    assert [problem["line"] for problem in doubles] == [3, 4]


def test_p20_two_dicom_folders_of_one_series_are_one(tmp_path):
    save(slices(), tmp_path / "one")
    save(slices(PatientID="other", SeriesInstanceUID="9.9"), tmp_path / "two", lambda n: f"{n}", "1.2.840.10008.1.2")
    doubles, _ = check(tmp_path, ["one", "two"])
    assert len(doubles) == 1


def test_p20_four_copies_are_one_group(tmp_path):
    data, affine = voxels((6, 5, 4)), truth()
    for name, copy in zip(("b", "c", "d"), ("bytes", "float32", "flipped in j and k"), strict=True):
        COPIES[copy](tmp_path / f"{name}.nii", data, affine)
    nifti(tmp_path / "a.nii", data, affine)
    doubles, _ = check(tmp_path, ["a.nii", "b.nii", "c.nii", "d.nii"], ["train", "val", "train", "test"])
    assert {problem["line"] for problem in doubles} == {3, 4, 5}
    assert all("a.nii" in problem["reason"] for problem in doubles)


@pytest.mark.parametrize(
    "other",
    [
        lambda d, a: (np.flip(d, 0).copy(), a),
        lambda d, a: (d * d % 997, a),
        lambda d, a: (d[:, :, ::-1].copy(), a),
        lambda d, a: (np.where(d == 7, 8, d).astype(np.int16), a),
    ],
    ids=["mirrored in the body", "other values", "upside down", "one voxel"],
)
def test_p20_scans_that_differ_are_not_one(tmp_path, other):
    data, affine = voxels((6, 5, 4)), truth()
    nifti(tmp_path / "a.nii", data, affine)
    nifti(tmp_path / "b.nii", *other(data, affine))
    assert check(tmp_path, ["a.nii", "b.nii"])[0] == []


def test_p20_the_command_line_finds_them(tmp_path, capsys):
    data, affine = voxels((6, 5, 4)), truth()
    nifti(tmp_path / "a.nii", data, affine)
    nifti(tmp_path / "b.nii", *flipped(data.astype(np.float32), affine, [0, 1]))
    check(tmp_path, ["a.nii", "b.nii"], ["train", "val"])
    assert run(["manifest", "check", str(tmp_path / "m.csv"), "--deep"]) == 3
    said = capsys.readouterr()
    assert "duplicate" in said.out + said.err
    assert "m.csv:3" in said.out + said.err
