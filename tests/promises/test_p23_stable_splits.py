"""P23: splits are by patient, seeded, and nobody moves when others are added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import medssl
from medssl.cli import run
from medssl.errors import MedsslError
from medssl.manifest import Manifest

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def split(folder, patients, seed=0, shares=SHARES, name="m"):
    """Patient → the splits of his scans; every patient has as many scans as his id says."""
    rows = [f"{patient}-{n}.nii,{patient}" for patient in patients for n in range(1 + sum(map(ord, patient)) % 3)]
    (folder / f"{name}.csv").write_text("\n".join(["image,patient_id", *rows]) + "\n")
    medssl.split_manifest(folder / f"{name}.csv", folder / f"{name}-out.csv", shares, seed)
    out: dict[str, set[str]] = {}
    for record in Manifest.read(folder / f"{name}-out.csv").records:
        out.setdefault(record.patient_id, set()).add(record.split)
    return out


def names(count, start=0):
    return [f"P{n:04d}" for n in range(start, start + count)]


def test_p23_all_scans_of_a_patient_go_together(tmp_path):
    assert all(len(splits) == 1 for splits in split(tmp_path, names(200)).values())


@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_p23_nobody_moves_when_patients_are_added_removed_or_shuffled(tmp_path, seed):
    first = split(tmp_path, names(100), seed)
    more = split(tmp_path, names(150, -25 % 10000)[::-1] + names(100), seed, name="n")
    assert all(more[patient] == splits for patient, splits in first.items())
    fewer = split(tmp_path, names(60, 20), seed, name="o")
    assert all(first[patient] == splits for patient, splits in fewer.items())


def test_p23_nobody_moves_when_a_patient_gets_more_scans(tmp_path):
    (tmp_path / "a.csv").write_text("image,patient_id\n" + "".join(f"{p}.nii,{p}\n" for p in names(60)))
    (tmp_path / "b.csv").write_text(
        "image,patient_id\n" + "".join(f"{p}-{n}.nii,{p}\n" for p in names(60) for n in "12")
    )
    out = []
    for name in ("a", "b"):
        medssl.split_manifest(tmp_path / f"{name}.csv", tmp_path / f"{name}2.csv", SHARES)
        out.append({r.patient_id: r.split for r in Manifest.read(tmp_path / f"{name}2.csv").records})
    assert out[0] == out[1]


def test_p23_the_seed_decides(tmp_path):
    one = split(tmp_path, names(100), 5)
    assert split(tmp_path, names(100), 5, name="again") == one
    assert split(tmp_path, names(100), 6, name="other") != one


def test_p23_the_same_on_every_machine_and_version(tmp_path):
    # pinned: a new version that moved patients would leak them into what was trained
    assignment = split(tmp_path, names(12), 0, {"train": 0.5, "test": 0.5})
    assert "".join(min(assignment[patient])[1] for patient in names(12)) == "rrereeeeeeer"


def test_p23_shares_hold_on_average(tmp_path):
    counts = dict.fromkeys(SHARES, 0)
    for splits in split(tmp_path, names(3000)).values():
        counts[next(iter(splits))] += 1
    shares = np.array([counts[name] / 3000 for name in SHARES])
    np.testing.assert_allclose(shares, list(SHARES.values()), atol=0.03)


def test_p23_ids_that_differ_in_case_go_together(tmp_path):
    (tmp_path / "m.csv").write_text(
        "image,patient_id\n" + "".join(f"{p}a.nii,{p}\n{p}b.nii, {p.lower()} \n" for p in names(80))
    )
    medssl.split_manifest(tmp_path / "m.csv", tmp_path / "out.csv", SHARES)
    records = Manifest.read(tmp_path / "out.csv").records
    together: dict[str, set[str]] = {}
    for record in records:
        together.setdefault(record.patient_id.strip().casefold(), set()).add(record.split)
    assert len(together) == 80
    assert all(len(splits) == 1 for splits in together.values())


def test_p23_a_split_has_no_leak_by_its_own_check(tmp_path):
    split(tmp_path, names(50))
    report = medssl.check_manifest(tmp_path / "m-out.csv")
    assert not [problem for problem in report["problems"] if problem["code"] == "manifest-leak"]


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    patients=st.lists(st.integers(0, 9999).map(lambda n: f"P{n:04d}"), min_size=30, max_size=60, unique=True),
    added=st.lists(st.integers(10_000, 20_000).map(lambda n: f"P{n}"), max_size=30, unique=True),
    seed=st.integers(0, 5),
)
def test_p23_any_addition_leaves_all_others(tmp_path, patients, added, seed):
    shares = {"train": 0.6, "val": 0.4}
    try:
        before = split(tmp_path, patients, seed, shares)
    except MedsslError as error:
        assert error.code == "too-few"  # noqa: PT017
        return
    after = split(tmp_path, added + patients, seed, shares, name="n")
    assert all(after[patient] == splits for patient, splits in before.items())


def test_p23_the_command_line_splits_the_same(tmp_path, capsys):
    wanted = split(tmp_path, names(40), 3)
    words = ["--shares", "train=0.7,val=0.15,test=0.15", "--seed", "3"]
    assert run(["manifest", "split", str(tmp_path / "m.csv"), str(tmp_path / "cli.csv"), *words]) == 0
    capsys.readouterr()
    assert {r.patient_id: {r.split} for r in Manifest.read(tmp_path / "cli.csv").records} == wanted
