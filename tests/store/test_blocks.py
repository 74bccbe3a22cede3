"""Array files read box by box, each block verified once, here and through a file-system library."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError, ResourceError, UsageError
from medssl.store import blocks, location
from medssl.store.blocks import block_sums
from medssl.store.location import LocalFolder, RemoteFolder
from medssl.store.store import Store
from tests.store.making import blobs, make_store, texture

SHAPE = (10, 9, 8)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    # blocks of a few rows, so that a small scan has many
    monkeypatch.setattr(blocks, "BLOCK", 256)
    monkeypatch.setattr(location, "BLOCK", 256)
    return make_store(tmp_path, [texture(SHAPE, n) for n in range(3)], labels=[blobs(SHAPE)] * 3)


def _image(store: Store, position: int = 0) -> Path:
    return Path(store.name(position)) / "image.npy"


def _flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("sizes", [(300,), (100, 156, 1), (256, 256), (1, 700, 67), ()])
def test_sums_are_those_of_the_whole_file_in_blocks(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 256)
    parts = [np.random.default_rng(n).bytes(size) for n, size in enumerate(sizes)]
    whole = b"".join(parts)
    assert block_sums(parts) == [zlib.crc32(whole[at : at + 256]) for at in range(0, len(whole), 256)]


def test_a_box_reads_only_what_it_needs_to_verify(store: Store) -> None:
    path = _image(store)
    # damage at the far end of the scan does not concern a box at its near end
    _flip(path, path.stat().st_size - 1)
    fresh = Store.open(store.path)
    assert fresh.read(0, (0, 0, 0), (2, 9, 8)).shape == (1, 2, 9, 8)
    with pytest.raises(InputError, match=r"image\.npy: its checksum differs"):
        fresh.read(0, (8, 0, 0), (10, 9, 8))


def test_every_byte_is_covered(store: Store) -> None:
    path = _image(store)
    content = path.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(content), 60).tolist():
        _flip(path, at)
        with pytest.raises(InputError, match="store-corrupt"):
            Store.open(store.path).read(0, (0, 0, 0), SHAPE)
        path.write_bytes(content)
    assert (Store.open(store.path).read(0, (0, 0, 0), SHAPE)[0] == texture(SHAPE)).all()


@pytest.mark.parametrize("sixteenth", range(16))
def test_a_file_that_ends_early_is_never_read(store: Store, sixteenth: int) -> None:
    path = _image(store)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * sixteenth // 16])
    with pytest.raises(InputError, match=r"of another size|cannot be read"):
        Store.open(store.path).read(0, (0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("name", ["label.npy", "points.npy", "body.npy", "entry.json"])
def test_every_file_of_an_entry_is_verified(store: Store, name: str) -> None:
    path = Path(store.name(1)) / name
    _flip(path, path.stat().st_size - 2)
    with pytest.raises(InputError, match=name):
        Store.open(store.path).read_label(1, (0, 0, 0), SHAPE)


def test_what_was_verified_is_not_verified_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = store.read(0, (0, 0, 0), SHAPE).copy()
    monkeypatch.setattr(blocks, "crc32", lambda data, start=0: pytest.fail("a block was verified twice"))
    assert (store.read(0, (1, 2, 3), (9, 9, 8)) == whole[:, 1:9, 2:9, 3:8]).all()


def test_maps_of_many_scans_are_closed_again(store: Store) -> None:
    size = _image(store).stat().st_size
    folder = LocalFolder(store.path, open_bytes=2 * size)
    for position in (0, 1, 2, 0, 1):
        voxels = store.entry(position).voxels
        array = folder.open(f"entries/{voxels.key}", "image.npy", voxels.files["image.npy"])
        assert (array.box((0, 0, 0), SHAPE)[0] == texture(SHAPE, position)).all()
        assert sum(one.size for one in folder._open.values()) <= 2 * size


def test_pages_of_a_large_file_are_given_back(store: Store) -> None:
    voxels = store.entry(0).voxels
    path, facts = _image(store), voxels.files["image.npy"]
    mapped = blocks.Mapped(path, facts, bytearray(len(facts["crc"])), resident=64)
    for _ in range(4):
        assert (mapped.box((0, 0, 0), SHAPE)[0] == texture(SHAPE)).all()


@pytest.fixture
def remote(store: Store) -> Store:
    import fsspec

    system = fsspec.filesystem("memory")
    for path in store.path.rglob("*"):
        if path.is_file():
            system.pipe_file(f"/bucket/{path.relative_to(store.path).as_posix()}", path.read_bytes())
    return Store.open("memory://bucket")


def test_a_store_can_be_read_through_a_file_system_library(store: Store, remote: Store) -> None:
    assert len(remote) == 3
    for low, high in (((0, 0, 0), SHAPE), ((3, 2, 1), (7, 9, 5)), ((9, 8, 7), SHAPE)):
        assert (remote.read(1, low, high) == store.read(1, low, high)).all()
        assert (remote.read_label(1, low, high) == store.read_label(1, low, high)).all()
    assert remote.name(1) == f"memory://bucket/entries/{store.row(1).key}"
    sent = pickle.loads(pickle.dumps(remote))  # noqa: S301
    assert (sent.read(2, (0, 0, 0), SHAPE) == store.read(2, (0, 0, 0), SHAPE)).all()


def test_only_the_blocks_of_a_box_are_fetched(store: Store, remote: Store) -> None:
    asked: list[int] = []
    system = remote._location._system  # type: ignore[union-attr]
    fetch = system.cat_ranges

    def counting(paths: list[str], starts: list[int], ends: list[int], **more: object) -> object:
        asked.extend(end - start for start, end in zip(starts, ends, strict=True))
        return fetch(paths, starts, ends, **more)

    remote.entry(0)
    system.cat_ranges = counting
    try:
        remote.read(0, (4, 0, 0), (5, 9, 8))
    finally:
        del system.cat_ranges
    assert 0 < sum(asked) <= 4 * 256 < _image(store).stat().st_size


def test_a_damaged_remote_block_is_refused(store: Store) -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    for path in store.path.rglob("*"):
        if path.is_file():
            content = bytearray(path.read_bytes())
            if path == _image(store):
                content[-1] ^= 1
            system.pipe_file(f"/broken/{path.relative_to(store.path).as_posix()}", bytes(content))
    with pytest.raises(InputError, match=r"memory://broken/entries/.*its checksum differs"):
        Store.open("memory://broken").read(0, (0, 0, 0), SHAPE)


def test_places_that_cannot_be_reached() -> None:
    with pytest.raises(InputError, match=r"memory://nothing: holds no store"):
        Store.open("memory://nothing")
    with pytest.raises(UsageError, match=r"cannot read a store at nosuch://.*medssl\[cloud\]"):
        Store.open("nosuch://bucket/store")
    assert RemoteFolder("memory://a/").name("b") == "memory://a/b"


def test_a_library_that_fails_is_a_network_error(monkeypatch: pytest.MonkeyPatch) -> None:
    place = RemoteFolder("memory://a")

    def fail(path: str) -> bytes:
        raise RuntimeError("token of somebody expired")

    monkeypatch.setattr(place._system, "cat_file", fail, raising=False)
    with pytest.raises(ResourceError, match="cannot be fetched: RuntimeError") as caught:
        place.read("store.json")
    assert "somebody" not in str(caught.value)
