from __future__ import annotations

import json
from pathlib import Path

import pytest

from medssl.cli import run
from medssl.commands.prepare import prepare
from medssl.errors import InputError, RecipeError, UsageError
from medssl.store.store import Store
from tests.store.making import save, texture, write_manifest


def test_the_verb_says_what_it_did(tmp_path: Path) -> None:
    rows = []
    for number in range(11):
        save(tmp_path / f"s{number}.nii.gz", texture((8, 8, 8), number))
        rows.append({"image": f"s{number}.nii.gz", "patient_id": f"p{number}", "modality": "CT"})
    write_manifest(tmp_path, rows)
    told: list[tuple[int, int, str]] = []
    result = prepare(
        tmp_path / "scans.csv", tmp_path / "out", window_hu=(0.0, 500.0), progress=lambda *args: told.append(args)
    )
    assert (result["scans"], result["built"], result["reused"], result["quarantined"]) == (11, 11, 0, [])
    assert json.loads(json.dumps(result))["settings"]["window_hu"] == [0.0, 500.0]
    assert told[-1] == (11, 11, "preparing scans")
    (tmp_path / "s4.nii.gz").write_bytes(b"")
    again = prepare(tmp_path / "scans.csv", tmp_path / "out", window_hu=(0.0, 500.0), continue_on_error=True)
    assert (again["scans"], again["built"], again["reused"]) == (10, 0, 10)
    assert [note["line"] for note in again["quarantined"]] == [6]
    assert Path(again["quarantine"]).is_file()


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: does not exist"):
        prepare(tmp_path / "none.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recipe_says_what_preparation_does(tmp_path: Path) -> None:
    save(tmp_path / "s.nii.gz", texture((8, 8, 8)))
    write_manifest(tmp_path, [{"image": "s.nii.gz", "patient_id": "p", "modality": "CT"}])
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("data: {manifest: scans.csv, spacing_mm: [2.0, 2.0, 2.0], window_hu: [0, 500], n4: true}\n")
    code = run(["prepare", str(tmp_path / "scans.csv"), str(tmp_path / "out"), str(recipe)], False)
    assert code == 0
    contract = Store.open(tmp_path / "out").settings.contract()
    assert (contract["spacing_mm"], contract["window_hu"], contract["n4"]) == ([2.0, 2.0, 2.0], [0.0, 500.0], True)
    with pytest.raises(UsageError, match="one or the other"):
        prepare(tmp_path / "scans.csv", tmp_path / "other", n4=True, recipe=recipe)
    recipe.write_text("method: {name: simclr}\n")
    with pytest.raises(UsageError, match="no section data"):
        prepare(tmp_path / "scans.csv", tmp_path / "other", recipe=recipe)
    recipe.write_text("data: {manifest: scans.csv, spacing: 2}\n")
    with pytest.raises(RecipeError, match="did you mean spacing_mm"):
        prepare(tmp_path / "scans.csv", tmp_path / "other", recipe=recipe)


def test_options_of_the_verb_reach_the_store(tmp_path: Path) -> None:
    save(tmp_path / "s.nii.gz", texture((12, 12, 12)))
    write_manifest(tmp_path, [{"image": "s.nii.gz", "patient_id": "p", "modality": "T1"}])
    assert run(["prepare", str(tmp_path / "scans.csv"), str(tmp_path / "out"), "--zscore", "3", "--n4"], False) == 0
    store = Store.open(tmp_path / "out")
    assert (store.settings.zscore, store.settings.n4) == (3.0, True)
    assert "n4" in store.entry(0).voxels.flags
