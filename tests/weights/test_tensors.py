"""Safetensors files: what the library lets through is refused here."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from medssl.errors import IntegrityError, WeightsError
from medssl.weights.tensors import read_tensors, write_tensors


def _file(path: Path, header: str, data: bytes = b"\0" * 8) -> Path:
    text = header.encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


ENTRY = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (f'{{"a":{ENTRY},"a":{ENTRY}}}', b"\0" * 4),
        ("{not json", b""),
        (f'{{"a":{ENTRY}}}', b"\0" * 2),
        ('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"\0" * 8),
        (f'{{"a":{ENTRY}}}', struct.pack("<f", float("nan"))),
    ],
    ids=["twice", "no json", "short", "hole", "nan"],
)
def test_malformed_files_are_refused(tmp_path: Path, header: str, data: bytes) -> None:
    with pytest.raises(WeightsError, match=r".") as caught:
        read_tensors(_file(tmp_path / "a.safetensors", header, data))
    assert caught.value.code == "weights-format"


def test_a_header_past_the_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    with pytest.raises(WeightsError, match="header's length"):
        read_tensors(tmp_path / "a.safetensors")


def test_a_torch_file_under_a_safe_name_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(IntegrityError, match="pickle or archive"):
        read_tensors(tmp_path / "a.safetensors")


def test_tied_weights_are_written(tmp_path: Path) -> None:
    one = torch.arange(4.0)
    write_tensors(tmp_path / "a.safetensors", {"a": one, "b": one, "c": one.reshape(2, 2).T})
    found = read_tensors(tmp_path / "a.safetensors")
    assert torch.equal(found["a"], found["b"])
    assert torch.equal(found["c"], one.reshape(2, 2).T)


def test_hard_inputs_are_refused(shared: Path) -> None:
    folder = shared / "hard_inputs" / "inputs" / "weights"
    if not folder.is_dir():
        pytest.skip("needs the hard inputs in the folder `shared` beside the clone")
    cases = json.loads((folder.parent / "manifest.json").read_text())
    refused = [p for p in sorted(folder.glob("*.safetensors")) if "wrong_arch" not in p.name]
    assert refused
    assert cases
    for path in refused:
        with pytest.raises(WeightsError, match=r".") as caught:
            read_tensors(path)
        assert path.name in str(caught.value)
