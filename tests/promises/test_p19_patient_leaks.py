"""P19: a patient on both sides of a split is an error, one that is very likely there a warning."""

from __future__ import annotations

import json

import numpy as np
import pytest

import medssl
from medssl.cli import run
from medssl.io.write import write
from medssl.volume import Volume


def manifest(folder, rows, header="image,patient_id,split"):
    """A manifest of small scans that all differ."""
    for n, row in enumerate(rows):
        data = np.random.default_rng(n).integers(0, 1000, (1, 5, 4, 3)).astype(np.int16)
        name = row.split(",")[0]
        if not (folder / name).exists():
            write(Volume(data, np.diag([1.0, 2.0, 3.0, 1.0])), folder / name)
    (folder / "m.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder / "m.csv"


def found(path):
    """The problems that speak of a leak: (line, severity)."""
    report = medssl.check_manifest(path)
    return report, [(p["line"], p["severity"]) for p in report["problems"] if p["code"] == "manifest-leak"]


def test_p19_one_patient_in_two_splits_is_an_error(tmp_path):
    path = manifest(tmp_path, ["a.nii,P1,train", "b.nii,P2,val", "c.nii,P1,val"])
    report, leaks = found(path)
    assert not report["ok"]
    assert leaks == [(4, "error")]
    assert "m.csv:4" in report["lines"][0]
    assert "train" in report["lines"][0]
    assert "val" in report["lines"][0]


def test_p19_every_leaking_patient_is_told_in_one_run(tmp_path):
    rows = [f"{n}{side}.nii,P{n},{split}" for n in range(5) for side, split in (("a", "train"), ("b", "test"))]
    _, leaks = found(manifest(tmp_path, rows))
    assert [severity for _, severity in leaks] == ["error"] * 5
    assert len({line for line, _ in leaks}) == 5


@pytest.mark.parametrize("splits", [("train", "val"), ("train", "test"), ("val", "test"), ("pretrain", "external")])
def test_p19_any_two_splits(tmp_path, splits):
    path = manifest(tmp_path, [f"a.nii,P1,{splits[0]}", f"b.nii,P1,{splits[1]}"])
    assert found(path)[1] == [(3, "error")]


@pytest.mark.parametrize("other", ["p-001", "P-001 ", " P-001", "P-001\u00a0", "p-001 ", "\uff30-001"])
def test_p19_ids_that_differ_in_case_or_blanks_are_a_warning_at_least(tmp_path, other):
    path = manifest(tmp_path, ["a.nii,P-001,train", f"b.nii,{other},val"])
    report, leaks = found(path)
    assert len(leaks) == 1
    assert leaks[0][0] == 3
    assert "leak" in " ".join(report["lines"] + report["warnings"])


def test_p19_one_study_under_two_patients_is_a_warning(tmp_path):
    rows = ["a.nii,P1,1.2.3,train", "b.nii,P2,1.2.3,val", "c.nii,P3,1.2.4,val"]
    report, leaks = found(manifest(tmp_path, rows, "image,patient_id,study_id,split"))
    assert leaks == [(3, "warning")]
    assert report["ok"]


def test_p19_clean_splits_are_clean(tmp_path):
    path = manifest(tmp_path, ["a.nii,P1,train", "b.nii,P1,train", "c.nii,P2,val", "d.nii,P10,test"])
    report, leaks = found(path)
    assert report["ok"]
    assert leaks == []


def test_p19_folds_are_no_leak_but_splits_in_a_fold_are(tmp_path):
    # the same scan stands once in each fold; within one fold nobody may stand on both sides
    rows = ["a.nii,P1,train,0", "b.nii,P2,val,0", "a.nii,P1,val,1", "b.nii,P2,train,1"]
    _, leaks = found(manifest(tmp_path, rows, "image,patient_id,split,fold"))
    assert leaks == []
    rows = ["a.nii,P1,train,0", "b.nii,P1,val,0", "c.nii,P2,val,1"]
    _, leaks = found(manifest(tmp_path, rows, "image,patient_id,split,fold"))
    assert leaks == [(3, "error")]


def test_p19_the_command_line_says_it_and_exits_with_3(tmp_path, capsys):
    path = manifest(tmp_path, ["a.nii,Zebedee,train", "b.nii,Zebedee,val"])
    assert run(["manifest", "check", str(path)]) == 3
    said = capsys.readouterr()
    assert "leak" in said.out + said.err
    assert "m.csv:3" in said.out + said.err
    # the id is the user's own, but it is not needed to find the row
    assert "Zebedee" not in said.out + said.err
    assert run(["manifest", "check", str(path), "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [problem["code"] for problem in told["problems"]] == ["manifest-leak"]
