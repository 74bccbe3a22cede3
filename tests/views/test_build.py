from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

from medssl.views.kernels import build

LOOP = """
import numpy as np
from medssl.views.kernels.build import built

def _double(a, out):
    for k in range(a.size):
        out[k] = 2 * a[k]

double = built(_double, set())
"""
RUN = """
import numpy as np
from loop import double

for kind in (np.int16, np.float32):
    a, out = np.arange(5, dtype=kind), np.zeros(5)
    double(a, out)
    print(out.sum())
"""
VIEW = """
import numpy as np
from medssl.views.block import Block
from medssl.views.grid import Grid
from medssl.views.kernels.choice import compiled
from medssl.views.sample import sample_block

assert compiled() is None
data = np.arange(1000, dtype=np.int16).reshape(1, 10, 10, 10)
block = Block(data, (0, 0, 0), (10, 10, 10), np.eye(4), 1 / 1000, 0.0)
print(float(sample_block(block, Grid.of((8, 8, 8), np.diag([0.5, 0.5, 0.5, 1.0])))[0].sum()))
"""


def _start(folder: Path, cache: Path) -> subprocess.Popen[str]:
    (folder / "loop.py").write_text(LOOP)
    environment = {**os.environ, "MEDSSL_CACHE": str(cache), "PYTHONPATH": str(folder)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", RUN], env=environment, text=True, **pipes)


def _works(process: subprocess.Popen[str]) -> bool:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [float(word) for word in out.split()] == [20.0, 20.0]


def test_processes_that_start_together_compile_once_and_agree(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    processes = [_start(tmp_path, cache) for _ in range(4)]
    found = [_works(process) for process in processes]
    assert all(found)
    kept = sorted((cache / "kernels").rglob("*.nbc"))
    assert len(kept) == 2
    folder = next((cache / "kernels").iterdir())
    assert folder.stat().st_mode & 0o077 == 0
    assert not (folder / "writing").exists()
    before = [path.stat().st_mtime_ns for path in kept]
    assert _works(_start(tmp_path, cache))
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_what_a_process_left_that_died_while_it_wrote_is_not_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert _works(_start(tmp_path, cache))
    one, two = sorted((cache / "kernels").rglob("*.nbc"))
    one.write_bytes(two.read_bytes())  # code for other types under this one's name: numba would run it
    (next((cache / "kernels").iterdir()) / "writing").touch()
    assert _works(_start(tmp_path, cache))
    assert one.read_bytes() != two.read_bytes()
    # a damaged file without a mark: compiled in memory, and emptied by the next process
    one.write_bytes(one.read_bytes()[:1000])
    two.write_bytes(b"")
    assert _works(_start(tmp_path, cache))
    assert _works(_start(tmp_path, cache))


def test_without_a_folder_to_write_code_is_compiled_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "no_folder"
    file.touch()
    assert _works(_start(tmp_path, file))


def test_torch_serves_where_the_compiler_is_off(tmp_path: Path) -> None:
    for name, value in (("MEDSSL_COMPILED", "0"), ("NUMBA_DISABLE_JIT", "1")):
        environment = {**os.environ, "MEDSSL_CACHE": str(tmp_path), name: value}
        done = subprocess.run([sys.executable, "-c", VIEW], env=environment, text=True, capture_output=True, check=True)
        # the mean index of 8 voxels half a voxel apart, along three axes of 100, 10 and 1 a voxel
        assert float(done.stdout) == pytest.approx(512 * 1.75 * 111 / 1000, rel=1e-6)
    assert not (tmp_path / "kernels").exists()


def test_nothing_is_compiled_or_imported_before_the_first_view() -> None:
    code = "import sys, medssl.views.make, medssl.loading.dataset; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_code_that_others_may_change_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path))
    folder = build.kernel_folder.__wrapped__()
    assert folder is not None
    assert folder.is_dir()
    folder.chmod(0o777)
    assert build.kernel_folder.__wrapped__() is None
