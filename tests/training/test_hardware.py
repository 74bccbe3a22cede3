"""What the Lightning Trainer is told."""

from __future__ import annotations

import pytest
import torch

from medssl.errors import RecipeError
from medssl.recipe import check
from medssl.training.hardware import Hardware


def test_without_an_accelerator_it_is_one_process_in_full_precision() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is an accelerator")
    settings = Hardware().trainer_settings()
    assert settings == {
        "accelerator": "cpu",
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "precision": "32-true",
        "sync_batchnorm": False,
    }


def test_several_processes_are_ddp() -> None:
    assert "ddp" in Hardware(devices=2).trainer_settings()["strategy"]
    assert Hardware(devices=2, strategy="fsdp").trainer_settings()["strategy"] == "fsdp"


def test_recipe_values_are_checked() -> None:
    assert check(Hardware, {"devices": 2, "precision": "16-mixed"}).devices == 2
    with pytest.raises(RecipeError, match="devices"):
        check(Hardware, {"devices": 0})
    with pytest.raises(RecipeError, match="precision"):
        check(Hardware, {"precision": "8"})
