"""How long a whole ``medssl convert`` of a small scan takes: ``python tests/benchmarks/convert_small.py``."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from medssl.io.write import write
from medssl.volume import Volume

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.io.scans import write_slices

RUNS = 7
TARGETS = (".nii.gz", ".nii", ".mha", ".nrrd", ".npz")


def seconds(source: Path, target: Path) -> float:
    """Wall time of one whole process."""
    command = [sys.executable, "-m", "medssl.cli", "convert", str(source), str(target)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def sources(folder: Path) -> dict[str, Path]:
    """A scan of 32 × 32 × 16 voxels in each format, and four small DICOM slices."""
    voxels = np.random.default_rng(0).integers(-1000, 1000, (1, 32, 32, 16)).astype(np.int16)
    scan = Volume(voxels, np.diag([1.0, 1.0, 2.0, 1.0]))
    found = {ending: folder / f"small{ending}" for ending in TARGETS}
    for path in found.values():
        write(scan, path)
    return {**found, "DICOM": write_slices(folder / "slices")}


def main() -> None:
    """Print the median of each pair's runs, after one that does not count."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {RUNS} runs, median")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = sources(folder)
        pairs = [(".nii.gz", target) for target in TARGETS]
        pairs += [(source, ".nii.gz") for source in found if source != ".nii.gz"]
        for source, target in pairs:
            out = folder / f"out{target}"
            seconds(found[source], out)
            taken = statistics.median(seconds(found[source], out) for _ in range(RUNS))
            print(f"{source:>8} to {target:<8} {taken:.3f} s")


if __name__ == "__main__":
    main()
