"""Hunts in a process of their own, so that a crash of native code or a lack of memory is seen and not shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def hunts(names: Iterable[str], count: int, seed: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Format → what its hunt found; a format at which the process was lost has that as what is wrong."""
    wanted = list(names)
    command = [sys.executable, "-m", "tests.fuzz.hunt", ",".join(wanted), str(count), str(seed)]
    # threads of a linear algebra library take address space, which is bounded
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=settings, timeout=seconds)
        out, ended, words = answer.stdout, f"ended with {answer.returncode}", answer.stderr
    except subprocess.TimeoutExpired as error:
        out, ended = (error.stdout or b"").decode(), f"did not come back in {seconds:.0f} s"
        words = (error.stderr or b"").decode()
    found = {one["name"]: one for one in map(json.loads, out.splitlines())}
    for name in wanted:
        if name not in found:
            lost = {"what": f"the process {ended}: {words[-1500:]}", "file": ""}
            found[name] = {"name": name, "refused": 0, "read": 0, "codes": {}, "wrong": [lost]}
    return found
