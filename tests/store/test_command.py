from __future__ import annotations

import json
from pathlib import Path

import pytest

from medssl.commands.prepare import prepare
from medssl.errors import InputError
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
