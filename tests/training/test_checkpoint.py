"""Checkpoints are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medssl.errors import InputError, MedsslError
from medssl.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint


def _data(value: float) -> dict[str, object]:
    return {"method": {"w": torch.full((3,), value)}, "counts": {"skipped": 1}}


def test_round_trip_with_plain_data_only(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 7, _data(2.0))
    loaded = torch.load(path, weights_only=True)
    assert loaded["step"] == 7
    assert torch.equal(load_checkpoint(path)["method"]["w"], torch.full((3,), 2.0))


def test_the_last_two_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, _data(step))
    assert sorted(int(p.name[5:13]) for p in tmp_path.iterdir()) == [2, 3]


@pytest.mark.parametrize("damage", ["half", "empty", "flipped"])
def test_a_damaged_one_is_skipped_with_a_line(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, 1, _data(1.0))
    last = save_checkpoint(tmp_path, 2, _data(2.0))
    raw = bytearray(last.read_bytes())
    raw[len(raw) // 2] ^= 1
    last.write_bytes({"half": raw[: len(raw) // 2], "empty": b"", "flipped": raw}[damage])
    data, lines = latest_checkpoint(tmp_path)
    assert data is not None
    assert data["step"] == 1
    assert len(lines) == 1
    assert "checksum" in lines[0]


def test_a_temporary_file_of_a_killed_save_goes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, _data(1.0))
    (tmp_path / ".step-2.99.tmp").write_bytes(b"half")
    data, _ = latest_checkpoint(tmp_path)
    assert data is not None
    assert [p.suffix for p in tmp_path.iterdir()] == [".ckpt"]


def test_all_damaged_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, _data(1.0)).write_bytes(b"x")
    with pytest.raises(InputError, match="no checkpoint is whole"):
        latest_checkpoint(tmp_path)


def test_none_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nothing") == (None, [])


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(MedsslError, match="w is not finite after 5 steps"):
        save_checkpoint(tmp_path, 5, _data(float("nan")))
    assert list(tmp_path.iterdir()) == []
