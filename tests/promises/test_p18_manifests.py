"""P18, P21 and P22: every problem of a manifest in one run, labels that fit their image, paths that stay inside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from medssl import cli
from medssl.errors import InputError, IntegrityError
from medssl.io.manifests.check import check_manifest
from medssl.io.manifests.problems import Problem
from medssl.manifest import Manifest
from tests.promises.files import SFORM, marked, nifti, put


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three scans, each unlike the others."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for n in range(3):
        put(folder / f"{n}.nii.gz", nifti(marked() * (37 * n + 1) % 101))
    return folder


def manifest(folder: Path, *rows: str, head: str = "image,patient_id,label,split") -> Path:
    path = folder / "manifest.csv"
    path.write_bytes("\n".join([head, *rows, ""]).encode())
    return path


def errors(path: Path) -> list[Problem]:
    return [problem for problem in check_manifest(path).problems if problem.severity == "error"]


def test_p18_all_problems_come_in_one_run_in_a_stable_order(scans: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (scans / "cut.nii.gz").write_bytes((scans / "0.nii.gz").read_bytes()[:-20])
    put(scans / "flat.nii.gz", nifti(np.zeros((6, 5, 4), "i2")))
    path = manifest(
        scans,
        "0.nii.gz,p0,,train",
        "cut.nii.gz,p1,,train",
        "gone.nii.gz,p2,,train",
        "../0.nii.gz,p3,,train",
        "flat.nii.gz,p4,,test",
        "1.nii.gz,p0,,test",
        "2.nii.gz,,,test",
        "2.nii.gz,p5",
    )
    found = errors(path)
    assert [(problem.line, problem.code) for problem in found] == [
        (3, "truncated"),
        (4, "manifest-path"),
        (5, "manifest-path"),
        (6, "values"),
        (7, "manifest-leak"),
        (8, "manifest-format"),
        (9, "manifest-format"),
    ]
    assert check_manifest(path) == check_manifest(path)
    capfd.readouterr()
    assert cli.run(["manifest", "check", str(path), "--json"]) == 3
    told = capfd.readouterr()
    report = json.loads(told.out)
    assert [(problem["line"], problem["code"]) for problem in report["problems"]] == [
        (problem.line, problem.code) for problem in check_manifest(path).problems
    ]
    assert [line for line in told.err.splitlines() if "error" in line] == [
        f"medssl: error: {path}: 7 problems in the manifest [manifest-check]"
    ]
    assert cli.run(["manifest", "check", str(path)]) == 3
    lines = capfd.readouterr().out.splitlines()
    assert all(any(line.startswith(f"{path}:{problem.line}: ") for line in lines) for problem in found)


LABEL = (marked() % 3).astype("u1")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (nifti(LABEL[:, :, :3]), r"has \(6, 5, 3\) voxels, its image \(6, 5, 4\)"),
        (nifti(LABEL, srow=(SFORM + np.eye(4) * 0.002)[:3].ravel()), "differs from its image's by"),
        (nifti(LABEL, srow=(SFORM @ np.diag([1, 1, 1.1, 1]))[:3].ravel()), "differs from its image's by"),
        (nifti(LABEL * np.float32(0.5)), "not whole numbers"),
        (nifti(np.where(LABEL == 1, np.nan, LABEL).astype("f4")), "not finite"),
        (nifti(LABEL + 5), "declared|classes"),
        (nifti(np.stack([LABEL, LABEL], axis=-1)), "4D image"),
        (nifti(LABEL)[:-3], "truncated"),
    ],
)
def test_p21_a_label_that_does_not_fit_its_image_is_an_error(scans: Path, content: bytes, says: str) -> None:
    put(scans / "label.nii.gz", content)
    path = manifest(scans, "0.nii.gz,p0,label.nii.gz,train", "1.nii.gz,p1,,train")
    (scans / "manifest.yaml").write_text("classes: {0: background, 1: ball, 2: block}\n")
    (found,) = errors(path)
    assert found.line == 2
    assert re.search(says, found.reason), found.reason


@pytest.mark.parametrize("shift", [0.0, 0.0009])
def test_p21_a_label_that_fits_is_none_whatever_its_storage_order(scans: Path, shift: float) -> None:
    flipped = SFORM @ np.array([[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    flipped[0, 3] += shift
    put(scans / "label.nii.gz", nifti(LABEL[::-1], srow=flipped[:3].ravel()))
    assert errors(manifest(scans, "0.nii.gz,p0,label.nii.gz,train")) == []


def test_p21_an_empty_label_is_a_warning(scans: Path) -> None:
    put(scans / "label.nii.gz", nifti(LABEL * 0))
    report = check_manifest(manifest(scans, "0.nii.gz,p0,label.nii.gz,train"))
    (problem,) = report.problems
    assert (problem.severity, problem.line) == ("warning", 2)


@pytest.mark.parametrize(
    "name",
    ["../x.nii.gz", "a/../../x.nii.gz", "/etc/passwd", "..\\x.nii.gz", "C:\\x.nii", "\\\\server\\x.nii", "a/..", ".."],
)
@pytest.mark.parametrize("column", ["image", "label"])
def test_p22_a_path_that_leaves_the_root_is_refused_with_its_line(scans: Path, name: str, column: str) -> None:
    row = f"{name},p1,,train" if column == "image" else f"1.nii.gz,p1,{name},train"
    path = manifest(scans, "0.nii.gz,p0,,train", row)
    with pytest.raises(IntegrityError, match=r"line 3: .*(leaves the data root|absolute)"):
        Manifest.read(path)
    assert (3, "manifest-path") in {(problem.line, problem.code) for problem in errors(path)}


def test_p22_a_link_that_leaves_the_root_is_refused(scans: Path) -> None:
    put(scans.parent / "outside.nii.gz", nifti())
    (scans / "link.nii.gz").symlink_to("../outside.nii.gz")
    path = manifest(scans, "link.nii.gz,p0,,train")
    loaded = Manifest.read(path)
    with pytest.raises(IntegrityError, match="leaves the data root by a link"):
        loaded.resolve(loaded.records[0])
    assert (2, "manifest-path") in {(problem.line, problem.code) for problem in errors(path)}


@pytest.mark.parametrize(("separator", "ending"), [(",", "\r\n"), (";", "\r\n"), ("\t", "\n"), (",", "\r")])
def test_p22_every_dialect_is_read(scans: Path, separator: str, ending: str) -> None:
    (scans / "0.nii.gz").rename(scans / "b,c;d.nii.gz")
    rows = [["image", "patient_id"], ['"b,c;d.nii.gz"', '"p ""x"""'], ["1.nii.gz", "p1"], []]
    text = "\ufeff" + ending.join(separator.join(row) for row in rows) + ending
    (scans / "manifest.csv").write_bytes(text.encode())
    loaded = Manifest.read(scans / "manifest.csv")
    assert [record.image for record in loaded.records] == ["b,c;d.nii.gz", "1.nii.gz"]
    assert loaded.records[0].patient_id == 'p "x"'


def test_p22_what_is_not_utf8_is_refused_with_the_line(scans: Path) -> None:
    path = scans / "manifest.csv"
    path.write_bytes(b"image,patient_id\n0.nii.gz,p0\ncaf\xe9.nii.gz,p1\n")
    with pytest.raises(InputError, match="line 3: expected UTF-8, got the byte 0xe9"):
        Manifest.read(path)
    path.write_bytes("image,patient_id\n0.nii.gz,p0\n".encode("utf-16"))
    with pytest.raises(InputError, match=r"UTF-8|null|line 1"):
        Manifest.read(path)
