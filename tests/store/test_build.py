from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from medssl.manifest import Manifest
from medssl.store.build import put_in_place
from medssl.store.entry import entry_is_sound
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import ENTRIES, Store
from tests.store.making import blobs, make_store, save, texture, write_manifest

SHAPE = (40, 36, 30)
FORK = multiprocessing.get_context("fork")


def _manifest(folder: Path, count: int) -> Manifest:
    rows = []
    for number in range(count):
        save(folder / f"s{number}.nii", texture(SHAPE, number))
        save(folder / f"l{number}.nii", blobs(SHAPE))
        rows.append({"image": f"s{number}.nii", "patient_id": f"p{number}", "label": f"l{number}.nii"})
    return write_manifest(folder, rows)


def _content(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_killed_at_any_moment_only_whole_entries_stand(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, 6)
    where = tmp_path / "store"
    cut_short = 0
    for delay_ms in (2, 4, 8, 12, 16, 24, 32, 48):
        process = FORK.Process(target=prepare, args=(manifest, where, StoreSettings()))
        process.start()
        time.sleep(delay_ms / 1000)
        assert process.pid is not None
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        cut_short += process.exitcode == -signal.SIGKILL
        entries = [path for path in (where / ENTRIES).glob("*") if not path.name.startswith(".")]
        assert all(entry_is_sound(path) for path in entries)
    assert cut_short > 0
    prepare(manifest, where, StoreSettings())
    prepare(manifest, tmp_path / "fresh", StoreSettings())
    assert _content(where) == _content(tmp_path / "fresh")


def test_processes_that_make_the_same_store_end_with_one(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, 3)
    where = tmp_path / "store"
    together = [FORK.Process(target=prepare, args=(manifest, where, StoreSettings())) for _ in range(4)]
    for process in together:
        process.start()
    for process in together:
        process.join()
    assert [process.exitcode for process in together] == [0] * 4
    prepare(manifest, tmp_path / "fresh", StoreSettings())
    assert _content(where) == _content(tmp_path / "fresh")


@pytest.mark.parametrize("damaged", [True, False])
def test_a_sound_entry_is_never_replaced_and_a_damaged_one_is(tmp_path: Path, damaged: bool) -> None:
    store = make_store(tmp_path, [texture((8, 8, 8))])
    entry = Path(store.name(0))
    spare = entry.parent / "spare"
    spare.mkdir()
    for path in entry.iterdir():
        (spare / path.name).write_bytes(path.read_bytes())
    if damaged:
        (entry / "image.npy").write_bytes(b"")
    inode = entry.stat().st_ino
    put_in_place(spare, entry)
    assert (entry.stat().st_ino == inode) is not damaged
    assert (Store.open(store.path).read(0, (0, 0, 0), (8, 8, 8)) == store.read(0, (0, 0, 0), (8, 8, 8))).all()
