"""What a second process brings: ``python tests/benchmarks/workers.py``.

Whole 96³ views (rotation, stretch, flips, noise, blur, gamma) from one and from two worker processes, and ``medssl
prepare`` of the same twelve scans to 2 mm with one and with two jobs, start included; see ``loading.py``.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from medssl.loading.loader import make_loader
from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.views.augment.choose import augmentations
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Role, Spatial
from tests.benchmarks.loading import BATCH, CROP, WINDOW, Batches, rates, write_scans

SPATIAL = Spatial(flip=(0.5, 0.5, 0.5), rotate_deg=17.0, stretch=(1.1, 1.1, 1.1))
CHANGES = [{"name": name, "p": 1.0} for name in ("noise", "blur", "gamma")]


def views(store: Store, workers: int) -> Batches:
    """Whole views out of the loader."""
    role = Role(RandomCrop((CROP,) * 3), spatial=SPATIAL, augment=augmentations(CHANGES))
    loader = make_loader(store, {"view": role}, None, batch=BATCH, seed=0, start=0, stop=10**9, workers=workers)
    return (batch["view"].image for batch in loader)


def seconds(folder: Path, jobs: int, number: int) -> float:
    """Of one ``medssl prepare``, the program's start included."""
    command = [
        sys.executable,
        "-m",
        "medssl.cli",
        "prepare",
        str(folder / "scans.csv"),
        str(folder / f"{jobs}-{number}"),
    ]
    start = time.perf_counter()
    subprocess.run([*command, "--spacing", "2", "--jobs", str(jobs)], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print both ratios."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scans(folder)
        store = prepare(Manifest.read(folder / "scans.csv"), folder / "store", StoreSettings(window_hu=WINDOW))
        found = rates({str(n): lambda n=n: views(store, n) for n in (1, 2)}, 4.0, 3)
        one, two = found["1"], found["2"]
        print(f"whole views a second: one worker {one:.0f}, two {two:.0f}, {two / one:.2f} times")
        times = {jobs: statistics.median(seconds(folder, jobs, n) for n in range(3)) for jobs in (1, 2)}
        print(f"prepare: --jobs 1 {times[1]:.1f} s, --jobs 2 {times[2]:.1f} s, {times[1] / times[2]:.2f} times")


if __name__ == "__main__":
    main()
