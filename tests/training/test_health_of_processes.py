"""Two processes tell one health, that of one process with the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medssl.training.logs import read_metrics
from tests.training.tiny import make_store


@pytest.mark.slow
def test_two_processes_tell_the_health_of_one(tmp_path: Path) -> None:
    store = make_store(tmp_path / "scans")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""}
    found = []
    for devices in ("1", "2"):
        command = [sys.executable, "-m", "tests.training.two_processes", str(store.path), str(tmp_path / devices)]
        done = subprocess.run(
            [*command, devices], cwd=root, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        told = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("health ")]
        assert len(told) == int(devices)
        assert told[0] == told[-1]
        found.append(read_metrics(tmp_path / devices / "metrics.csv"))
    one, two = ({name: values for name, values in metrics.items() if name.startswith("health_")} for metrics in found)
    assert len(one) >= 10
    assert one.keys() == two.keys()
    for name, values in one.items():
        # in the first step the weights are the same
        assert two[name][0] == pytest.approx(values[0], rel=1e-4, abs=1e-5), name
        assert two[name] == pytest.approx(values, rel=1e-2, abs=1e-3, nan_ok=True), name
