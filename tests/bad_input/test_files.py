"""Files that are not there or are something else, and words of the command line that do not fit."""

from __future__ import annotations

import pytest

from tests.bad_input.asking import Refused


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["inspect", "gone"], "missing", "gone: does not exist"),
        (["convert", "gone", "out.nii"], "missing", "gone: does not exist"),
        (["manifest", "build", "gone", "out.csv"], "missing", "gone: the data folder does not exist"),
        (["manifest", "check", "gone.csv"], "missing", "gone.csv: does not exist"),
        (["manifest", "split", "gone.csv", "out.csv"], "missing", "gone.csv: does not exist"),
        (["prepare", "gone.csv", "out"], "missing", "gone.csv: does not exist"),
        (["prepare", "scans/manifest.csv", "out", "--root", "gone"], "manifest-path", "gone: the data root"),
        (["reduce", "gone.csv", "out"], "missing", "gone.csv: does not exist"),
        (["pretrain", "gone.yaml"], "missing", "(see `medssl recipe list`)"),
        (["pretrain", "pre.yaml", "out=out", "data.manifest=gone.csv"], "missing", "gone.csv: does not exist"),
        (["pretrain", "pre.yaml", "out=out", "init=gone"], "missing", "gone: does not exist"),
        (["finetune", "gone.yaml"], "missing", "gone.yaml: does not exist"),
        (["recipe", "check", "gone"], "missing", "gone: does not exist"),
        (["recipe", "show", "gone"], "missing", "gone: does not exist"),
        (["predict", "gone", "scans/0.nii.gz", "out"], "missing", "gone: does not exist"),
        (["predict", "seg", "gone", "out"], "missing", "gone: does not exist"),
        (["predict", "seg", "gone.csv", "out"], "missing", "gone.csv: does not exist"),
        (["evaluate", "gone", "scans/manifest.csv"], "missing", "(medssl predict writes it)"),
        (["evaluate", "scans", "scans/manifest.csv"], "missing", "scans: expected a folder with predictions.json"),
        (["evaluate", "masks", "gone.csv"], "missing", "gone.csv: does not exist"),
        (["report", "gone"], "run", "gone: expected a run folder, got nothing there"),
        (["report", "scans"], "run", "scans: expected a run folder with recipe.yaml, run.json or metrics.csv"),
        (["weights", "show", "gone"], "missing", "gone: does not exist"),
        (["weights", "check", "scans"], "weights-format", "scans: there is no config.json"),
        (["inspect", "pre.yaml"], "format", "pre.yaml: the content is plain text"),
        (["inspect", "/dev/null"], "not-regular", "/dev/null: expected a regular file, got a device"),
        (["predict", "seg", "pre.yaml", "out"], "format", "pre.yaml: the content is plain text"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_missing_or_other_file(words: list[str], code: str, says: str, refused: Refused) -> None:
    refused(words, 3, code, says)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["pretrain", "scans"], "recipe-value", "scans: expected a recipe (.yaml), got a folder"),
        (["manifest", "build", "pre.yaml", "out.csv"], "usage", "expected a folder of scans, got a file"),
        (["manifest", "build", "scans", "out.txt"], "usage", "out.txt: expected the name of a .csv file"),
        (["convert", "scans/0.nii.gz", "out.foo"], "usage", "expected a name that ends in one of .nii.gz"),
        (["convert", "scans/0.nii.gz", "gone/out.nii"], "usage", "gone/out.nii: the folder gone does not exist"),
        (["recipe", "schema", "pretrain", "--out", "gone/x.json"], "usage", "the folder gone does not exist"),
        (["recipe", "schema", "predict"], "usage", "expected one of pretrain, finetune, got 'predict'"),
        (["prepare", "pre.yaml"], "usage", "Missing argument 'STORE'. [usage] (see medssl prepare --help)"),
        (["prepare", "a.csv", "out", "--jobs", "0"], "usage", '--jobs: expected at least 1, got "0"'),
        (["prepare", "a.csv", "out", "--spacing", "a"], "usage", "--spacing: expected 1 or 3 numbers"),
        (["reduce", "a.csv", "out", "--threshold", "x"], "usage", '--threshold: expected a whole number, got "x"'),
        (["reduce", "scans/manifest.csv", "out", "--unit", "voxel"], "usage", "scan or slice, got 'voxel'"),
        (["predict", "seg", "a", "out", "--overlap", "2"], "usage", '--overlap: expected at most 0.95, got "2"'),
        (["data", "fetch", "gone"], "usage", "there is no dataset card 'gone'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command(words: list[str], code: str, says: str, refused: Refused) -> None:
    refused(words, 2, code, says)
