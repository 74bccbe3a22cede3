"""P24: a preparation killed at any moment leaves whole entries and its own leftovers, which the next start removes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from medssl.manifest import Manifest
from medssl.store.entry import entry_is_sound
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import ENTRIES, STORE_FILE, Store
from tests.promises.stores import contents, leftovers, small_set

FORK = multiprocessing.get_context("fork")
KILLS = 20


class _Moments:
    """Counts every call and return of the process, and ends it at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.count, self.last = 0, last

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def _prepare(manifest: Manifest, where: Path, moments: _Moments) -> int:
    sys.setprofile(moments)
    try:
        prepare(manifest, where, StoreSettings())
    finally:
        sys.setprofile(None)
    return moments.count


def _only_whole(where: Path) -> None:
    """Whatever has a name of its own is whole."""
    assert all(entry_is_sound(path) for path in (where / ENTRIES).glob("[!.]*"))
    if (where / STORE_FILE).exists():
        store = Store.open(where)
        assert all(store.entry(position).voxels.shape[0] == 1 for position in range(len(store)))


def test_p24_killed_at_many_moments_only_whole_entries_stand(tmp_path: Path) -> None:
    manifest = small_set(tmp_path, 3)
    fresh = tmp_path / "fresh"
    prepare(manifest, fresh, StoreSettings())
    total = _prepare(manifest, tmp_path / "counted", _Moments())
    found_leftovers = 0
    for moment in np.random.default_rng(0).integers(1, total, KILLS).tolist():
        where = tmp_path / f"killed-{moment}"
        process = FORK.Process(target=_prepare, args=(manifest, where, _Moments(moment)))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        _only_whole(where)
        found_leftovers += bool(leftovers(where))
        prepare(manifest, where, StoreSettings())
        assert contents(where) == contents(fresh)
    # the moments reach what they are meant to
    assert found_leftovers > 2


def test_p24_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    small_set(tmp_path, 8)
    script = (
        "import sys; from medssl import prepare; from pathlib import Path\n"
        "def tell(done, total, what):\n"
        "    if what == 'preparing scans': print(done, flush=True)\n"
        "if __name__ == '__main__': prepare(sys.argv[1], sys.argv[2], jobs=2, progress=tell)\n"
    )
    (tmp_path / "run.py").write_text(script)
    where = tmp_path / "store"
    words = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "scans.csv"), str(where)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
    deadline = time.monotonic() + 30
    # the pipe of a worker's standard output closes when the last of them has ended
    while _group_lives(parent.pid):
        assert time.monotonic() < deadline, "workers outlive the process that started them"
        time.sleep(0.02)
    _only_whole(where)
    prepare(Manifest.read(tmp_path / "scans.csv"), where, StoreSettings())
    assert leftovers(where) == []
    assert len(Store.open(where)) == 8


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    # those that have ended and that nobody has waited for yet count no more
    states = [Path(f"/proc/{pid}/stat") for pid in os.listdir("/proc") if pid.isdigit()]
    for path in states:
        try:
            name_end = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(name_end[2]) == group and name_end[0] != "Z":
            return True
    return False


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_p24_leftovers_of_living_processes_stay(tmp_path: Path, kind: str) -> None:
    from medssl.store.files import temporary_name

    manifest = small_set(tmp_path, 1)
    where = tmp_path / "store"
    prepare(manifest, where, StoreSettings())
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    ours = temporary_name()
    theirs = ours.replace(f"-{os.getpid()}-", f"-{int(ended.stdout)}-")
    for name in (ours, theirs):
        path = where / ENTRIES / name
        _ = path.mkdir() if kind == "folder" else path.touch()
    prepare(manifest, where, StoreSettings())
    assert leftovers(where) == [ours]
