"""Weights that do not fit, are incomplete, or could run code."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from medssl import cli
from tests.bad_input.asking import RESNET, Canary, Refused


def _weights(**changes: Any) -> None:
    """A copy of the pretrained weights as ``bad``, with other keys in its config."""
    shutil.rmtree("bad", ignore_errors=True)
    shutil.copytree("pre/weights", "bad")
    config = json.loads(Path("bad/config.json").read_text(encoding="utf-8"))
    Path("bad/config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")


def test_weights_of_another_architecture(refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "pre.yaml", "out=out", "init=pre", RESNET]
    refused(words, 3, "weights-fit", "pre/weights: the weights fit too little, at least 90 % is expected: loaded")
    assert cli.run([*words, "init_minimum=0.01"]) == 0
    assert "loaded 14 of 72 tensors, 6.1 % of the parameters; missing 50" in capfd.readouterr().out


@pytest.mark.parametrize("name", ["model.safetensors", "projector.safetensors", "config.json"])
def test_weights_without_a_file(name: str, refused: Refused) -> None:
    _weights()
    Path("bad", name).unlink()
    code = "weights-format" if name == "config.json" else "missing"
    for words in (["pretrain", "pre.yaml", "out=out", "init=bad"], ["weights", "check", "bad"]):
        refused(words, 3, code, "bad", name)


@pytest.mark.parametrize("name", ["bad/pytorch_model.bin", "bad/model.safetensors", "weights.pt", "weights.ckpt"])
def test_a_pickle_is_never_read(name: str, refused: Refused) -> None:
    _weights()
    Path(name).write_bytes(pickle.dumps(Canary()))
    given = "bad" if name.startswith("bad") else name
    for words in (
        ["pretrain", "pre.yaml", "out=out", f"init={given}"],
        ["finetune", "seg.yaml", "out=out", f"init={given}"],
        ["weights", "show", given],
        ["predict", given, "scans/0.nii.gz", "out"],
    ):
        refused(words, 4, "weights-unsafe", name, "safetensors")


def test_a_wrong_checksum(refused: Refused) -> None:
    _weights()
    data = bytearray(Path("bad/model.safetensors").read_bytes())
    data[-3] ^= 1
    Path("bad/model.safetensors").write_bytes(data)
    for words in (["pretrain", "pre.yaml", "out=out", "init=bad"], ["weights", "check", "bad"]):
        refused(words, 4, "hash", "bad/model.safetensors: expected sha256 ", ", got ")


@pytest.mark.parametrize(
    ("changes", "exit_code", "code", "says"),
    [
        ({"encoder": {"name": "os:system"}}, 4, "weights-unsafe", "weights cannot name code, got 'os:system'"),
        ({"encoder": {"name": "resenc", "_target_": "os.system"}}, 4, "weights-unsafe", "encoder._target_: weights"),
        ({"input": {"_target_": "os.system"}}, 4, "weights-unsafe", "input._target_: weights cannot name code"),
        ({"encoder": {"name": "foo"}}, 3, "weights-format", "expected an encoder among resnet, resenc, vit, swin"),
        ({"encoder": {"name": "resenc", "width": 3}}, 3, "weights-format", "unknown key encoder.width"),
        ({"encoder": {"name": "resenc", "widths": [3]}}, 3, "weights-format", "blocks must have 1 entries"),
        ({"checksums": {"../x.safetensors": "0" * 64}}, 3, "weights-format", "no checksum of model.safetensors"),
        ({"in_channels": "x"}, 3, "weights-format", 'in_channels: expected a whole number above 0, got "x"'),
        ({"crop": [0, 1]}, 3, "weights-format", "crop: expected three whole numbers above 0, got [0, 1]"),
        ({"input": 3}, 3, "weights-format", "input: expected what prepare writes down"),
        ({"trained_on": 3}, 3, "weights-format", "trained_on: expected a mapping with a list of scans, got 3"),
        ({"task": "segment"}, 3, "weights-format", 'task: expected a mapping with a name, got "segment"'),
        ({"format": 99}, 3, "weights-format", "expected format 1, got 99"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_config_that_does_not_fit(
    changes: dict[str, Any], exit_code: int, code: str, says: str, refused: Refused
) -> None:
    _weights(**changes)
    refused(["weights", "check", "bad"], exit_code, code, "bad", says)
