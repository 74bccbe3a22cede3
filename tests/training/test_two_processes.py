"""Two processes with half the batch each train as one process with the whole batch (promise P35)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medssl.training.checkpoint import latest_checkpoint
from medssl.training.logs import read_metrics
from tests.training.tiny import make_store


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    store = make_store(tmp_path / "scans")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""}
    found = []
    for devices in ("1", "2"):
        out = tmp_path / devices
        command = [sys.executable, "-m", "tests.training.two_processes", str(store.path), str(out), devices]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        data, _ = latest_checkpoint(out / "checkpoints")
        assert data is not None
        found.append((read_metrics(out / "metrics.csv"), data["method"]))
    (one, state_one), (two, state_two) = found
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)
    for name, value in state_one.items():
        assert torch.allclose(state_two[name], value, rtol=1e-3, atol=1e-4), name
