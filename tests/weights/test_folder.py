"""Weights folders: whole, verified, never code."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from medssl.encoders.build import build_encoder
from medssl.errors import InputError, IntegrityError, WeightsError
from medssl.weights.folder import load_weights, save_weights

CONFIG: dict[str, Any] = {
    "encoder": {"name": "resnet", "depth": 10, "width": 4},
    "in_channels": 1,
    "input": {"orientation": "RAS", "spacing_mm": [1.5, 1.5, 1.5], "window_hu": [-175.0, 250.0]},
    "crop": [32, 32, 32],
    "method": {"name": "simclr"},
    "trained_on": {"manifest": "0" * 64, "scans": ["a" * 64]},
}


@pytest.fixture
def encoder() -> nn.Module:
    return build_encoder("resnet", 1, depth=10, width=4)


@pytest.fixture
def folder(tmp_path: Path, encoder: nn.Module) -> Path:
    return save_weights(tmp_path / "weights", {"encoder": encoder, "head": nn.Linear(3, 2)}, CONFIG, {"steps": 5})


def _edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_round_trip(folder: Path, encoder: nn.Module) -> None:
    weights = load_weights(folder)
    assert weights.config["encoder"] == CONFIG["encoder"]
    assert all(torch.equal(weights.encoder[name], value) for name, value in encoder.state_dict().items())
    assert weights.heads["head"]["weight"].shape == (2, 3)
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "head.safetensors",
        "model.safetensors",
    ]


def test_a_run_folder_is_its_weights(folder: Path) -> None:
    assert load_weights(folder.parent).folder == folder


def test_the_card_holds_the_input_contract(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert text.startswith("---\nlibrary_name:")
    assert "| window hu | [-175.0, 250.0] |" in text
    assert "| steps | 5 |" in text


def test_saving_replaces_whole_and_leaves_nothing(folder: Path) -> None:
    save_weights(folder, {"encoder": nn.Linear(1, 1)}, CONFIG, {})
    assert load_weights(folder).heads == {}
    assert [p.name for p in folder.parent.iterdir()] == ["weights"]


def test_nothing_is_left_of_weights_that_are_not_finite(tmp_path: Path) -> None:
    bad = nn.Linear(1, 1)
    nn.init.constant_(bad.weight, float("inf"))
    with pytest.raises(WeightsError, match="not finite"):
        save_weights(tmp_path / "w", {"encoder": bad}, CONFIG, {})
    assert list(tmp_path.iterdir()) == []


class _Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


@pytest.mark.parametrize("name", ["model.pt", "weights.pth", "last.ckpt", "pytorch_model.bin", "a.pkl"])
def test_files_that_could_run_code_are_refused_unread(folder: Path, name: str) -> None:
    canary = folder.parent / "canary"
    (folder / name).write_bytes(pickle.dumps(_Bomb(canary)))
    for path in (folder, folder / name):
        with pytest.raises(IntegrityError, match="could run code") as caught:
            load_weights(path)
        assert (caught.value.code, caught.value.exit_code) == ("weights-unsafe", 4)
    assert not canary.exists()


def test_a_pickle_under_a_safe_name_is_refused(folder: Path) -> None:
    canary = folder.parent / "canary"
    (folder / "model.safetensors").write_bytes(pickle.dumps(_Bomb(canary)))
    with pytest.raises(IntegrityError, match="pickle"):
        load_weights(folder)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["os:system", "medssl.encoders.resnet:ResNet", "package.module"])
def test_a_config_cannot_name_a_class(folder: Path, name: str) -> None:
    _edit(folder, encoder={"name": name})
    with pytest.raises(IntegrityError, match="cannot name code") as caught:
        load_weights(folder)
    assert caught.value.code == "weights-unsafe"


def test_a_config_cannot_name_something_to_call(folder: Path) -> None:
    _edit(folder, method={"_target_": "os.system"})
    with pytest.raises(IntegrityError, match="_target_") as caught:
        load_weights(folder)
    assert caught.value.code == "weights-unsafe"


def test_a_changed_file_is_refused(folder: Path) -> None:
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(IntegrityError, match="sha256") as caught:
        load_weights(folder)
    assert caught.value.code == "hash"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 9}, "format"),
        ({"encoder": {"name": "resnext"}}, "expected an encoder"),
        ({"checksums": {}}, "checksum"),
        ({"checksums": {"model.safetensors": "a" * 64, "../x.safetensors": "a" * 64}}, "NAME.safetensors"),
        ({"checksums": {"model.safetensors": "short"}}, "not a sha256"),
    ],
)
def test_a_malformed_config_is_refused(folder: Path, changes: dict[str, Any], reason: str) -> None:
    _edit(folder, **changes)
    with pytest.raises(WeightsError, match=reason):
        load_weights(folder)


def test_missing_and_incomplete(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_weights(tmp_path / "nothing")
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"there is no config\.json"):
        load_weights(folder)
