"""P27: processes that make one store at a time end with one, whole, and wait for no lock."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from tests.promises.stores import SHAPE, contents, leftovers, small_set

FORK = multiprocessing.get_context("fork")
MANY = 8


def _prepare(manifest: Manifest, where: Path, start: Any) -> None:
    start.wait()
    prepare(manifest, where, StoreSettings())


def _read(manifest: Manifest, where: Path, start: Any, answers: Any) -> None:
    start.wait()
    store = Store.open(where).healing(manifest)
    answers.put(store.read(0, (0, 0, 0), SHAPE).tobytes())


def test_p27_eight_processes_make_one_store(tmp_path: Path) -> None:
    manifest = small_set(tmp_path, 1)
    fresh, where = tmp_path / "fresh", tmp_path / "store"
    prepare(manifest, fresh, StoreSettings())
    start = FORK.Barrier(MANY)
    together = [FORK.Process(target=_prepare, args=(manifest, where, start)) for _ in range(MANY)]
    for process in together:
        process.start()
    for process in together:
        process.join()
    assert [process.exitcode for process in together] == [0] * MANY
    assert contents(where) == contents(fresh)
    assert leftovers(where) == []


def test_p27_eight_readers_mend_one_entry(tmp_path: Path) -> None:
    manifest = small_set(tmp_path, 1)
    where = tmp_path / "store"
    store = prepare(manifest, where, StoreSettings())
    expected, whole = store.read(0, (0, 0, 0), SHAPE).tobytes(), contents(where)
    path = Path(store.name(0)) / "image.npy"
    path.write_bytes(path.read_bytes()[:-9])
    start, answers = FORK.Barrier(MANY), FORK.Queue()
    together = [FORK.Process(target=_read, args=(manifest, where, start, answers)) for _ in range(MANY)]
    for process in together:
        process.start()
    assert [answers.get(timeout=60) for _ in together] == [expected] * MANY
    for process in together:
        process.join()
    assert contents(where) == whole


def test_p27_a_process_that_was_stopped_locks_nobody_out(tmp_path: Path) -> None:
    """One that is halted in the middle of an entry is passed by; killed, it leaves nothing that is in the way."""
    manifest = small_set(tmp_path, 2)
    where = tmp_path / "store"
    process = FORK.Process(target=_halted, args=(manifest, where))
    process.start()
    assert process.pid is not None
    os.waitpid(process.pid, os.WUNTRACED)
    prepare(manifest, where, StoreSettings())
    assert len(leftovers(where)) == 1
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    prepare(manifest, where, StoreSettings())
    assert leftovers(where) == []
    assert not [path for path in where.rglob("*") if "lock" in path.name]


def _halted(manifest: Manifest, where: Path) -> None:
    from medssl.store import build

    def halt(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    build.put_in_place = halt
    prepare(manifest, where, StoreSettings())
