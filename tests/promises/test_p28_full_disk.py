"""P28: a full or read-only disk is one line with the path and the bytes, exit code 5, and no partial file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.promises.stores import contents, leftovers, small_set

BIG = (60, 60, 60)
PREPARE = "import sys; from medssl.cli import main; sys.argv = ['medssl', *sys.argv[1:]]; main()"
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); " + PREPARE


def _words(folder: Path, where: Path, script: str = PREPARE, jobs: int = 1) -> list[str]:
    return [sys.executable, "-c", script, "prepare", str(folder / "scans.csv"), str(where), "--jobs", str(jobs)]


def _one_line(done: subprocess.CompletedProcess[str], where: Path) -> str:
    assert done.returncode == 5, done.stderr
    *progress, line = done.stderr.splitlines()
    assert all(told.endswith("…") for told in progress)
    assert line.startswith(f"medssl: error: {where}")
    assert line.endswith("[disk]")
    return line


@pytest.mark.parametrize("jobs", [1, 2])
def test_p28_a_file_that_cannot_grow(tmp_path: Path, jobs: int) -> None:
    small_set(tmp_path, 2, BIG)
    where = tmp_path / "store"
    done = subprocess.run(_words(tmp_path, where, LIMITED, jobs), capture_output=True, text=True)
    line = _one_line(done, where)
    # int16 voxels and a label map of bytes
    assert "648000 bytes are needed" in line
    assert re.search(r"\d+ bytes are free", line)
    assert contents(where) == {}
    assert leftovers(where) == []


def _own_mounts() -> bool:
    """Whether a file system can be mounted for one process, as no file system of the test's machine can be filled."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return False
    words = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /tmp"]
    return subprocess.run(words, capture_output=True).returncode == 0


mounting = pytest.mark.skipif(not _own_mounts(), reason="needs the right to mount a tmpfs in a namespace of its own")


def _mounted(disk: Path, size: str, first: list[str], script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with a small file system at ``disk``; what it prints after ``--`` is what is left there."""
    disk.mkdir()
    setup = f'mount -t tmpfs -o size={size} tmpfs "$0"; {script}; code=$?; find "$0" -mindepth 1; exit $code'
    return subprocess.run(["unshare", "-rm", "sh", "-c", setup, str(disk), *first], capture_output=True, text=True)


@mounting
@pytest.mark.parametrize("kilobytes", [4, 300, 500])
def test_p28_a_disk_that_is_full(tmp_path: Path, kilobytes: int) -> None:
    small_set(tmp_path, 2, BIG)
    disk = tmp_path / "disk"
    done = _mounted(disk, f"{kilobytes}k", _words(tmp_path, disk / "store"), '"$@"')
    line = _one_line(done, disk / "store")
    assert "No space left on device" in line
    assert "bytes are free" in line
    left = done.stdout.split()
    assert [path for path in left if Path(path).suffix or "/." in path] == []


@mounting
def test_p28_an_entry_that_fits_no_more_leaves_those_before_it(tmp_path: Path) -> None:
    """The first scan fits, the second does not: the store can be read up to there once there is room again."""
    small_set(tmp_path, 2, BIG)
    disk = tmp_path / "disk"
    done = _mounted(disk, "1m", _words(tmp_path, disk / "store"), '"$@"')
    assert "648000 bytes are needed" in _one_line(done, disk / "store")
    left = [Path(path) for path in done.stdout.split()]
    assert sorted(path.name for path in left if path.suffix) == [
        "body.npy",
        "entry.json",
        "image.npy",
        "label.npy",
        "points.npy",
    ]
    assert not [path for path in left if path.name.startswith(".")]


@mounting
@pytest.mark.parametrize("standing", [False, True])
def test_p28_a_disk_that_cannot_be_written(tmp_path: Path, standing: bool) -> None:
    small_set(tmp_path, 2)
    disk = tmp_path / "disk"
    words = _words(tmp_path, disk / "store")
    before = '"$@" >/dev/null; rm "$0"/store/entries/*/image.npy; ' if standing else ""
    done = _mounted(disk, "4m", words, f'{before}mount -o remount,ro "$0"; "$@"')
    line = _one_line(done, disk / "store")
    assert "Read-only file system" in line
    assert ("bytes are needed" in line) is standing
    assert "/." not in done.stdout
