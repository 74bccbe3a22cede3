"""Splits that are exact, stratified, kept or linked, and folds."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from medssl import cli
from medssl.commands.manifest import check_manifest, split_manifest
from medssl.errors import InputError, UsageError
from medssl.io.manifests.split import Manner, assign_folds, assign_splits
from medssl.io.write import write
from medssl.manifest import Manifest, Record
from medssl.volume import Volume

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def patients(count: int, first: int = 0) -> tuple[Record, ...]:
    """Two scans a patient; every fifth patient is of another site; the age grows."""
    return tuple(
        Record(
            f"{n}_{scan}.nii",
            f"p{n}",
            site="B" if n % 5 == 0 else "A",
            label="l.nii" if n % 10 == 3 else "",
            targets={"age": str(20 + n * 0.25)},
        )
        for n in range(first, first + count)
        for scan in range(2)
    )


def manifest(records: tuple[Record, ...]) -> Manifest:
    return Manifest(Path("m.csv"), Path(), records)


def placed(done: Manifest, column: str = "split") -> dict[str, str]:
    return {record.patient_id: getattr(record, column) for record in done.records}


@pytest.mark.parametrize("seed", range(5))
def test_exact_shares_hold_to_within_one_patient(seed):
    found = Counter(placed(assign_splits(manifest(patients(93)), SHARES, seed, Manner(exact=True))).values())
    assert all(abs(found[name] - share * 93) < 1 for name, share in SHARES.items())


@pytest.mark.parametrize(("column", "groups"), [("site", 2), ("label", 2), ("age", 4)])
def test_stratified_shares_hold_in_each_group(column, groups):
    records = patients(200)
    done = placed(assign_splits(manifest(records), SHARES, 1, Manner(stratify=(column,))))
    ages = {record.patient_id: float(record.targets["age"]) for record in records}
    edges = np.quantile(list(ages.values()), [0.25, 0.5, 0.75])
    group = {
        "site": lambda r: r.site,
        "label": lambda r: bool(r.label),
        "age": lambda r: int(np.searchsorted(edges, ages[r.patient_id])),
    }[column]
    of = {record.patient_id: group(record) for record in records}
    assert len(set(of.values())) == groups
    for one in set(of.values()):
        members = [patient for patient in done if of[patient] == one]
        found = Counter(done[patient] for patient in members)
        assert all(abs(found[name] - share * len(members)) < 1 for name, share in SHARES.items())


def test_few_patients_move_when_exact_and_none_when_kept():
    small, large = manifest(patients(100)), manifest(patients(110))
    how = Manner(exact=True)
    before, after = placed(assign_splits(small, SHARES, 2, how)), placed(assign_splits(large, SHARES, 2, how))
    moved = sum(after[patient] != split for patient, split in before.items())
    # each new patient moves at most one other over each of the two borders
    assert 0 < moved <= 2 * 10
    given = {record.patient_id: before.get(record.patient_id, "") for record in large.records}
    records = tuple(Record(**{**record.__dict__, "split": given[record.patient_id]}) for record in large.records)
    kept = placed(assign_splits(manifest(records), SHARES, 2, Manner(exact=True, keep=True)))
    assert all(kept[patient] == split for patient, split in before.items())
    found = Counter(kept.values())
    assert all(abs(found[name] - share * 110) <= 1 for name, share in SHARES.items())


def test_the_order_of_rows_and_the_spelling_of_ids_decide_nothing():
    records = patients(50)
    how = Manner(stratify=("site",))
    one = placed(assign_splits(manifest(records), SHARES, 0, how))
    assert placed(assign_splits(manifest(records[::-1]), SHARES, 0, how)) == one


def test_a_patient_to_keep_in_two_splits_is_refused():
    records = (Record("a", "p1", split="train", line=2), Record("b", "p1", split="val", line=3), Record("c", "p2"))
    with pytest.raises(InputError, match="line 3: a patient stands in two splits") as caught:
        assign_splits(manifest(records), {"train": 0.5, "val": 0.5}, 0, Manner(keep=True))
    assert caught.value.code == "manifest-leak"
    assert "p1" not in str(caught.value)


def test_a_column_that_is_not_there():
    with pytest.raises(UsageError, match="no row has a value in scanner, there are: age, label, patient_id, site"):
        assign_splits(manifest(patients(10)), SHARES, 0, Manner(stratify=("scanner",)))
    with pytest.raises(UsageError, match="expected a link of study, copies, got name"):
        assign_splits(manifest(patients(10)), SHARES, 0, Manner(link=("name",)))


@pytest.mark.parametrize("how", [Manner(), Manner(exact=True), Manner(stratify=("site",))])
def test_folds_leave_the_test_split_out(how):
    done = assign_splits(manifest(patients(100)), {"train": 0.8, "test": 0.2}, 0)
    folded = assign_folds(done, 5, 3, how)
    assert placed(folded) == placed(done)
    by_patient = {record.patient_id: set() for record in folded.records}
    for record in folded.records:
        by_patient[record.patient_id].add(record.fold)
    assert all(len(folds) == 1 for folds in by_patient.values())
    sizes = Counter(fold for (fold,) in by_patient.values() if fold)
    assert sorted(sizes) == ["0", "1", "2", "3", "4"]
    assert all(record.fold == "" for record in folded.records if record.split == "test")
    if how.exact:
        assert max(sizes.values()) - min(sizes.values()) <= 1


def test_folds_are_stable_too_and_too_many_are_refused():
    small, large = manifest(patients(60)), manifest(patients(90))
    before, after = placed(assign_folds(small, 4, 0), "fold"), placed(assign_folds(large, 4, 0), "fold")
    assert all(after[patient] == fold for patient, fold in before.items())
    with pytest.raises(InputError, match="3 patients cannot fill 5 folds"):
        assign_folds(manifest(patients(3)), 5)
    with pytest.raises(UsageError, match="at least 2 folds, got 1"):
        assign_folds(small, 1)


def test_linked_patients_go_together(tmp_path):
    for n in range(20):
        data = np.random.default_rng(n).integers(0, 900, (1, 4, 4, 4)).astype(np.int16)
        write(Volume(data, np.eye(4)), tmp_path / f"{n}.nii")
    shutil.copy(tmp_path / "3.nii", tmp_path / "7.nii")
    records = tuple(Record(f"{n}.nii", f"p{n}", study_id=f"s{n % 15}") for n in range(20))
    Manifest(tmp_path / "m.csv", tmp_path, records).write(tmp_path / "m.csv")
    for seed in range(6):
        result = split_manifest(
            tmp_path / "m.csv", tmp_path / "s.csv", {"a": 0.5, "b": 0.5}, seed, link=["study", "copies"]
        )
        assert sum(part["rows"] for part in result["splits"].values()) == 20
        done = placed(Manifest.read(tmp_path / "s.csv"))
        assert done["p3"] == done["p7"]
        assert all(done[f"p{n}"] == done[f"p{n + 15}"] for n in range(5))
        assert not any("leak" in line for line in check_manifest(tmp_path / "s.csv")["lines"])


def test_the_command_line_splits_and_folds(tmp_path, capfd):
    Manifest(tmp_path / "m.csv", tmp_path, patients(100)).write(tmp_path / "m.csv")
    words = ["manifest", "split", str(tmp_path / "m.csv"), str(tmp_path / "s.csv"), "--stratify", "site"]
    assert cli.run([*words, "--shares", "train=0.8,test=0.2", "--folds", "4", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["splits"] == {"train": {"rows": 160, "patients": 80}, "test": {"rows": 40, "patients": 20}}
    assert sorted(told["folds"]) == ["0", "1", "2", "3"]
    assert sum(fold["patients"] for fold in told["folds"].values()) == 80
    assert cli.run(["manifest", "split", str(tmp_path / "s.csv"), str(tmp_path / "t.csv"), "--folds", "3"]) == 0
    assert placed(Manifest.read(tmp_path / "t.csv")) == placed(Manifest.read(tmp_path / "s.csv"))


def test_groups_of_one_patient_are_not_all_for_training():
    records = tuple(Record(f"{n}.nii", f"p{n}", site=f"s{n}") for n in range(300))
    found = Counter(placed(assign_splits(manifest(records), SHARES, 0, Manner(stratify=("site",)))).values())
    # three standard deviations of a binomial share
    assert all(
        abs(found[name] - share * 300) < 3 * np.sqrt(300 * share * (1 - share)) for name, share in SHARES.items()
    )
