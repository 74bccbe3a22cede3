"""Two processes with half the batch each train as one process with the whole batch (promise P35), by every method."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from medssl.methods import METHODS
from medssl.training.checkpoint import latest_checkpoint
from medssl.training.logs import read_metrics
from tests.training.every_method import CASES, CHUNKED, Found, skipping, step_of
from tests.training.tiny import make_store

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    store = make_store(tmp_path / "scans")
    found = []
    for devices in ("1", "2"):
        out = tmp_path / devices
        command = [sys.executable, "-m", "tests.training.two_processes", str(store.path), str(out), devices]
        done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        data, _ = latest_checkpoint(out / "checkpoints")
        assert data is not None
        found.append((read_metrics(out / "metrics.csv"), data["method"]))
    (one, state_one), (two, state_two) = found
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)
    for name, value in state_one.items():
        assert torch.allclose(state_two[name], value, rtol=1e-3, atol=1e-4), name


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", **more}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Found]]:
    """What each of two real processes found in all cases."""
    out = tmp_path_factory.mktemp("both")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "NODE_RANK": "0"}
    command = [sys.executable, "-m", "tests.training.every_method", str(out)]
    ranks = [_environment(**common, RANK=rank, LOCAL_RANK=rank) for rank in ("0", "1")]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, cwd=ROOT, env=one, stdout=pipe, stderr=pipe, text=True) for one in ranks]
    try:
        said = [one.communicate(timeout=300)[1] for one in running]
        assert [one.returncode for one in running] == [0, 0], said
        yield [torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    finally:
        for one in running:
            one.kill()


def _equal(found: Any, expected: Any, rtol: float = 1e-5) -> None:
    """All tensors together, relative to their length."""
    assert found.keys() == expected.keys()
    length = torch.stack([value.double().norm() for value in expected.values()]).norm()
    apart = torch.stack([(found[name].double() - value.double()).norm() for name, value in expected.items()]).norm()
    assert length > 0
    assert float(apart / length) < rtol


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_method_has_the_loss_and_gradients_of_one_process(case: str, both: list[Found]) -> None:
    one = step_of(case, 1)
    assert one["skipped"] == 0
    for name in (case, *([f"{case}, in chunks"] * (case in CHUNKED))):
        for found in (both[0][name], both[1][name]):
            assert "error" not in found, found["error"]
            assert found["loss"] == pytest.approx(one["loss"], rel=1e-5)
            _equal(found["gradients"], one["gradients"], 1e-4 if "chunks" in name and "spark" in name else 1e-5)
            # teachers, queues, prototypes and running statistics, too
            _equal(found["state"], one["state"])


def test_every_registered_method_is_a_case() -> None:
    assert set(METHODS) <= set(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 1])
def test_steps_that_are_left_out_are_left_out_on_both(chunk: int | None, both: list[Found]) -> None:
    one = skipping(1, chunk)
    assert one["records"] == [(1, "values", [13]), (2, "empty", [10, 11, 12, 13])]
    assert one["counts"] == {"values": 1, "empty": 1, "loss": 0, "overflow": 0}
    for found in (both[0][f"skips, chunk {chunk}"], both[1][f"skips, chunk {chunk}"]):
        assert "error" not in found, found["error"]
        # the scan of the second process is known on the first
        assert [tuple(about) for about in found["records"]] == one["records"]
        assert found["counts"] == one["counts"]
        assert found["told"] == one["told"]
        _equal(found["state"], one["state"])
