"""Entries that are found damaged while a run reads them."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.loading.data import Data, open_store
from medssl.loading.loader import make_loader
from medssl.manifest import Manifest
from medssl.store.store import Store
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Role
from tests.store.making import make_store, save, texture

SHAPE = (10, 9, 8)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    make_store(tmp_path, [texture(SHAPE, n) for n in range(2)])
    manifest = next(tmp_path.rglob("scans.csv"))
    return open_store(Data(str(manifest), store=str(next(tmp_path.rglob("store.json")).parent)), tmp_path)


def _manifest(store: Store) -> Manifest:
    return Manifest.read(next(store.path.parent.rglob("scans.csv")))


def _harm(store: Store, position: int, how: str) -> None:
    path = Path(store.name(position)) / "image.npy"
    content = path.read_bytes()
    if how == "half":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 8]) + content[-2:])
    elif how == "foreign":
        shutil.copy(Path(store.name(1 - position)) / "image.npy", path)
    elif how == "facts":
        (path.parent / "entry.json").write_text("{}")
    else:
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("how", ["half", "empty", "flipped", "foreign", "facts", "gone"])
def test_a_damaged_entry_is_made_anew_with_one_line(store: Store, how: str, caplog: pytest.LogCaptureFixture) -> None:
    _harm(store, 0, how)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert (store.read(0, (0, 0, 0), SHAPE)[0] == texture(SHAPE)).all()
    assert [record.getMessage() for record in caplog.records] == [
        f"store entry {store.row(0).key} was damaged and is made anew"
    ]
    # and it is whole for everybody
    assert (Store.open(store.path).read(0, (0, 0, 0), SHAPE)[0] == texture(SHAPE)).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_running_loader_goes_on(store: Store, workers: int) -> None:
    roles = {"view": Role(RandomCrop((6, 6, 6)))}
    expected = [batch["view"].image for batch in make_loader(store, roles, None, batch=2, seed=0, start=0, stop=4)]
    _harm(store, 1, "flipped")
    fresh = Store.open(store.path).healing(_manifest(store))
    found = make_loader(fresh, roles, None, batch=2, seed=0, start=0, stop=4, workers=workers)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other["view"].image)


def test_a_source_that_changed_is_an_error(store: Store) -> None:
    _harm(store, 0, "half")
    source = _manifest(store)
    save(source.resolve(source.records[0]), texture(SHAPE, 9))
    with pytest.raises(InputError, match="its source has changed since it was prepared"):
        store.read(0, (0, 0, 0), SHAPE)


def test_a_source_that_is_gone_is_an_error(store: Store) -> None:
    _harm(store, 0, "half")
    source = _manifest(store)
    source.resolve(source.records[0]).unlink()
    with pytest.raises(InputError, match="missing"):
        store.read(0, (0, 0, 0), SHAPE)


def test_without_a_manifest_damage_is_an_error(store: Store) -> None:
    _harm(store, 0, "half")
    with pytest.raises(InputError, match=r"store-corrupt.*medssl prepare"):
        Store.open(store.path).read(0, (0, 0, 0), SHAPE)


def test_parts_of_a_store_heal_too(store: Store) -> None:
    _harm(store, 1, "gone")
    assert (store.subset([1]).read(0, (0, 0, 0), SHAPE)[0] == texture(SHAPE, 1)).all()
