"""Reading large NIfTI files, against nibabel: ``python tests/benchmarks/read_nifti.py [FILE ...]``.

Ours is ``medssl.read``, every check on: the header, the checksum and length of the gzip stream, every voxel finite, not
constant. nibabel's is ``load(f).dataobj.get_unscaled()``, which does none of these.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from medssl.io.read import read
from medssl.io.write import write

RUNS = 7
PEAK = """
import pathlib, sys
from medssl.io.read import read
def peak():
    # what getrusage tells is the parent's, where that was larger
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
data = read(sys.argv[1]).data
print((peak() - before) / data.nbytes)
"""


def body(shape: tuple[int, int, int], noise: float) -> NDArray[np.float32]:
    """Something like a CT: smooth organs with noise inside an ellipse, air of one value around it."""
    rng = np.random.default_rng(0)
    i, j, k = (np.linspace(-1, 1, n, dtype=np.float32).reshape(-1, *[1] * (2 - axis)) for axis, n in enumerate(shape))
    organs = 200 * np.sin(5 * i + 2 * k) * np.cos(4 * j) + 80 * np.sin(11 * k * j)
    inside = (i / 0.85) ** 2 + (j / 0.7) ** 2 < 1
    voxels = organs + noise * rng.standard_normal(shape, dtype=np.float32)
    return np.where(inside, voxels, np.float32(-1024))


def files(folder: Path) -> list[Path]:
    """int16 at zlib's fastest and default level and unpacked, float64 scaled from whole numbers and with full noise."""
    affine = np.diag([0.8, 0.8, 1.5, 1.0])
    whole = body((512, 512, 300), 12.0).astype(np.int16)
    noisy = body((320, 320, 160), 12.0).astype(np.float64)
    parts: dict[str, tuple[NDArray[Any], int]] = {
        "int16-level1.nii.gz": (whole, 1),
        "int16-level6.nii.gz": (whole, 6),
        "int16.nii": (whole, 1),
        "float64-scaled.nii.gz": (whole[:, :, :120] * 0.37 + 0.11, 6),
        "float64-noise.nii.gz": (noisy, 6),
    }
    for name, (voxels, level) in parts.items():
        nibabel.openers.Opener.default_compresslevel = level
        nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / name)
    return [folder / name for name in parts]


def seconds(*works: Callable[[], object]) -> list[float]:
    """Medians of works whose runs take turns, after one of each that does not count."""
    taken: list[list[float]] = [[] for _ in works]
    for run in range(RUNS + 1):
        for one, work in zip(taken, works, strict=True):
            start = time.perf_counter()
            work()
            if run:
                one.append(time.perf_counter() - start)
    return [statistics.median(one) for one in taken]


def compare(path: Path) -> str:
    """One line: both times, their ratio, and our memory beyond the start in units of the voxels."""

    def theirs() -> NDArray[Any]:
        found = nibabel.load(path).dataobj.get_unscaled()
        # the copy of a mapped file: its bytes are not read before
        return np.asarray(found) if path.name.endswith(".gz") else np.array(found, order="F")

    scan, equal = read(path), "other voxels"
    if np.array_equal(scan.data[0], theirs()):
        equal = "equal"
    del scan
    ours, nibabels = seconds(lambda: read(path), theirs)
    peak = float(subprocess.run([sys.executable, "-c", PEAK, path], check=True, capture_output=True).stdout)
    packed = path.stat().st_size / 1e6
    return (
        f"{path.name:<24} {packed:7.1f} MB  medssl {ours:.3f} s  nibabel {nibabels:.3f} s  "
        f"{nibabels / ours:5.2f} times as fast  {equal}  peak {peak:.2f} times the voxels"
    )


def versions() -> str:
    """What runs here."""
    found = []
    for package in ("nibabel", "isal", "numpy"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(found)}"


def main(paths: list[str]) -> None:
    """Print a line for each file, and one for writing."""
    print(versions())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [Path(path) for path in paths] or files(folder)
        for path in found:
            print(compare(path), flush=True)
        scan = read(found[0])
        image = nibabel.Nifti1Image(scan.data[0], scan.affine)
        nibabel.openers.Opener.default_compresslevel = 1
        ours, theirs = seconds(
            lambda: write(scan, folder / "ours.nii.gz"), lambda: nibabel.save(image, folder / "theirs.nii.gz")
        )
        size = (folder / "ours.nii.gz").stat().st_size / (folder / "theirs.nii.gz").stat().st_size
        print(
            f"writing {found[0].name}: medssl {ours:.3f} s  nibabel (level 1) {theirs:.3f} s  "
            f"{theirs / ours:.2f} times as fast, {size:.2f} of the size"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
