"""P26: whatever became of an entry, it is made anew with one warning, and no voxel is ever wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.store.work import Preparation
from tests.promises.stores import SHAPE, small_set
from tests.store.making import blobs, texture

FILES = ("image.npy", "label.npy", "points.npy", "body.npy", "entry.json")
WHOLE = ((0, 0, 0), SHAPE)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    made = small_set(tmp_path, 2)
    prepare(made, tmp_path / "store", StoreSettings())
    return made


def _harmed(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of the first entry, harmed in every way, one after the other."""
    store = Store.open(folder)
    entry, other = Path(store.name(0)), Path(store.name(1))
    rng = np.random.default_rng(0)
    for name in FILES:
        content = (entry / name).read_bytes()
        for sixteenth in range(16):
            yield entry / name, content[: len(content) * sixteenth // 16]
        for _ in range(20):
            changed = bytearray(content)
            changed[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
            yield entry / name, bytes(changed)
        yield entry / name, content + b"\0"
        yield entry / name, rng.bytes(len(content))
        foreign = (other / name).read_bytes()
        # two scans of one lattice have the same label map
        if foreign != content:
            yield entry / name, foreign


def _same(store: Store) -> None:
    assert (store.read(0, *WHOLE)[0] == texture(SHAPE)).all()
    assert (store.read_label(0, *WHOLE)[0] == blobs(SHAPE)).all()
    assert sorted(store.entry(0).points) == [1, 2]


def test_p26_a_harmed_entry_is_made_anew_with_one_warning(
    manifest: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = {path.name: path.read_bytes() for path in Path(Store.open(tmp_path / "store").name(0)).iterdir()}
    for count, (path, content) in enumerate(_harmed(tmp_path / "store")):
        path.write_bytes(content)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            _same(Store.open(tmp_path / "store").healing(manifest))
        assert len(caplog.records) == 1, (path.name, count)
        assert path.read_bytes() == expected[path.name]


def test_p26_without_the_source_a_harmed_entry_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    """No values are given out that are not those that were stored."""
    for path, content in _harmed(tmp_path / "store"):
        whole = path.read_bytes()
        path.write_bytes(content)
        store = Store.open(tmp_path / "store")
        with pytest.raises(InputError, match="store-corrupt"):
            _same(store)
        path.write_bytes(whole)
    _same(Store.open(tmp_path / "store"))


@pytest.mark.parametrize("harm", ["empty", "foreign", "gone", "a file in its place"])
def test_p26_preparing_again_mends_a_whole_entry(manifest: Manifest, tmp_path: Path, harm: str) -> None:
    store = Store.open(tmp_path / "store")
    entry, other = Path(store.name(0)), Path(store.name(1))
    for path in entry.iterdir():
        path.unlink()
        if harm == "foreign":
            path.write_bytes((other / path.name).read_bytes())
    if harm in ("gone", "a file in its place"):
        entry.rmdir()
    if harm == "a file in its place":
        entry.write_text("no folder")
    account = Preparation()
    prepare(manifest, tmp_path / "store", StoreSettings(), account=account)
    assert (account.built, account.reused) == (1, 1)
    _same(Store.open(tmp_path / "store"))
