"""Manifests and splits that do not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medssl import cli
from medssl.io.read import read
from medssl.io.write import write
from medssl.volume import Volume
from tests.bad_input.asking import OWN_STORE, Refused

MANIFESTS = [
    (b"", 3, "manifest-format", "line 1: the manifest is empty"),
    (b"image,patient_id\n", 3, "manifest-format", "line 1: the manifest has no rows"),
    (b"image,patient_id\na.nii,p\nb.nii\n", 3, "manifest-format", "line 3: expected 2 fields, got 1"),
    (b"patient_id,modality\np,CT\n", 3, "manifest-format", "columns image and patient_id, it lacks image"),
    (b"image,patient_id,image\na,p,a\n", 3, "manifest-format", "line 1: a column's name stands twice: image"),
    (b"image,patient_id\n,p\n", 3, "manifest-format", "line 2: image is empty"),
    (b'image,patient_id\n"a,p\n', 3, "manifest-format", "line 2: malformed CSV"),
    (b"image,patient_id\na.nii,M\xfcller\n", 3, "manifest-format", "line 2: expected UTF-8, got the byte 0xfc"),
    (b"image,patient_id\ngone.nii,p\n", 3, "manifest-path", "line 2: gone.nii is missing"),
    (b"image,patient_id\n../a.nii,p\n", 4, "manifest-path", "line 2: ../a.nii leaves the data root"),
    (b"image,patient_id\n/etc/hosts,p\n", 4, "manifest-path", "/etc/hosts is absolute, expected a path relative"),
]


@pytest.mark.parametrize(("content", "exit_code", "code", "says"), MANIFESTS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "bad.csv", "out"],
        ["reduce", "bad.csv", "out"],
        ["pretrain", "pre.yaml", "out=out", "data.manifest=bad.csv", "data.split=null", OWN_STORE],
    ],
    ids=lambda words: words[0],
)
def test_a_malformed_manifest(
    words: list[str], content: bytes, exit_code: int, code: str, says: str, refused: Refused
) -> None:
    Path("bad.csv").write_bytes(content)
    refused(words, exit_code, code, "bad.csv", says)


def test_a_check_tells_everything_and_fails(refused: Refused) -> None:
    rows = ["scans/0.nii.gz,p0", "gone.nii,p", "short", "scans/0.nii.gz,p0"]
    Path("bad.csv").write_text("\n".join(["image,patient_id", *rows]) + "\n", encoding="utf-8")
    out = refused(["manifest", "check", "bad.csv"], 3, "manifest-check", "bad.csv: 3 problems in the manifest")
    assert [line.split(": ")[0] for line in out.splitlines()[:3]] == ["bad.csv:3", "bad.csv:4", "bad.csv:5"]
    assert out.splitlines()[-1] == "3 rows of 2 patients: 3 problems, 0 warnings"
    told = json.loads(refused(["manifest", "check", "bad.csv", "--json"], 3, "manifest-check"))
    assert [problem["line"] for problem in told["problems"]] == [3, 4, 5]


def test_warnings_are_told_and_do_not_count(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty = read("scans/0_label.nii.gz")
    write(Volume(np.zeros_like(empty.data), empty.affine), "empty.nii")
    Path("odd.csv").write_text("image,patient_id,label\nscans/0.nii.gz,p0,empty.nii\n", encoding="utf-8")
    capfd.readouterr()
    assert cli.run(["manifest", "check", "odd.csv", "--deep"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        "odd.csv:2: warning: empty.nii is empty [label]",
        "1 row of 1 patient: 0 problems, 1 warning",
    ]


def test_paths_from_another_folder_are_guessed(refused: Refused) -> None:
    shutil.copy("scans/manifest.csv", "moved.csv")
    refused(["manifest", "check", "moved.csv"], 3, "manifest-check", "Give it with --root")


def test_a_root_may_be_given_for_a_split(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copy("scans/manifest.csv", "moved.csv")
    words = ["manifest", "split", "moved.csv", "out.csv", "--root", "scans", "--shares", "train=0.5,test=0.5"]
    assert cli.run([*words, "--seed", "1"]) == 0
    assert capfd.readouterr().out.splitlines()[0] == "out.csv (seed 1)"


@pytest.mark.parametrize(
    ("shares", "exit_code", "code", "says"),
    [
        ("a=0.2,b=0.2,c=0.2,d=0.2,e=0.2", 3, "too-few", "scans/manifest.csv: 4 patients cannot fill 5 splits"),
        ("train=0.7,val=0.1,test=0.2", 3, "too-few", "too few patients (4)"),
        ("train=0.5,test=1", 2, "usage", "the shares must lie between 0 and 1 and add up to 1"),
        ("train", 2, "usage", "--shares: expected name=share"),
    ],
)
def test_too_few_for_a_split(shares: str, exit_code: int, code: str, says: str, refused: Refused) -> None:
    words = ["manifest", "split", "scans/manifest.csv", "out.csv", "--shares", shares]
    refused(words, exit_code, code, says)


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "pre.yaml", "out=out", "data.split=val"],
        ["finetune", "seg.yaml", "out=out", "data.split=val"],
        ["predict", "seg", "scans/manifest.csv", "out", "--split", "val"],
        ["evaluate", "masks", "scans/manifest.csv", "--split", "val"],
    ],
    ids=lambda words: words[0],
)
def test_a_split_that_is_not_there(words: list[str], refused: Refused) -> None:
    refused(words, 3, "too-few", "scans/manifest.csv", "is of split val, there are: test, train")


def test_one_patient_for_simclr(refused: Refused) -> None:
    lines = Path("scans/manifest.csv").read_text(encoding="utf-8").splitlines()
    Path("scans/one.csv").write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    words = ["pretrain", "pre.yaml", "out=out", "data.manifest=scans/one.csv", "data.store=scans/one"]
    assert cli.run(["prepare", "scans/one.csv", "scans/one"]) == 0
    refused(words, 3, "too-few", "scans/one.csv: simclr needs scans of at least 2 patients, got 1")
    refused(["pretrain", "pre.yaml", "out=out", "optim.batch=1"], 2, "recipe-value", "optim.batch: expected at least 2")
