"""A recipe whose store lies on object storage."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
import torch

from medssl.commands.pretrain import pretrain
from medssl.errors import InputError
from medssl.loading.data import Data, open_store
from medssl.loading.loader import make_loader
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Role
from tests.commands.tiny import simclr
from tests.training.tiny import make_scans


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Scans whose store has been copied to a place in memory."""
    make_scans(tmp_path)
    open_store(Data(str(tmp_path / "manifest.csv"), store=str(tmp_path / "store")), tmp_path)
    system = fsspec.filesystem("memory")
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            system.pipe_file(f"/lake/{path.relative_to(tmp_path / 'store').as_posix()}", path.read_bytes())
    return tmp_path


def test_a_run_reads_its_scans_from_there(scans: Path) -> None:
    asked = simclr(scans, scans / "run")
    asked["data"]["store"] = "memory://lake"
    assert pretrain(asked)["steps"] == 2
    assert not (scans / "run" / "store").exists()


def test_its_batches_are_those_of_the_folder(scans: Path) -> None:
    roles = {"view": Role(RandomCrop((12, 12, 12), scale=(0.8, 1.2)), 2)}
    batches = []
    for place in (str(scans / "store"), "memory://lake"):
        store = open_store(Data(str(scans / "manifest.csv"), store=place), scans)
        batches.append(next(iter(make_loader(store, roles, None, batch=2, seed=1, start=0, stop=1))))
    assert torch.equal(batches[0]["view"].image, batches[1]["view"].image)


def test_a_store_of_other_settings_is_refused(scans: Path) -> None:
    with pytest.raises(InputError, match=r"memory://lake: the store was made with another set of settings") as caught:
        open_store(Data(str(scans / "manifest.csv"), store="memory://lake", zscore=3.0), scans)
    assert caught.value.code == "store-version"
