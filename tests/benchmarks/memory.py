"""Whether memory stays flat over ten thousand views, whatever the store's size: ``python tests/benchmarks/memory.py``.

A store of 60 volumes of 40 MB each, random crops of 96³ one after the other in one process. Resident memory is the
process's own (``RssAnon``) and all of it (``VmRSS``), which counts mapped pages of the store that the system keeps.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import csv
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from medssl.loading.loader import make_loader
from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Role

SHAPE = (320, 320, 200)
BATCH = 4


def make_store(folder: Path, scans: int) -> Store:
    """A store of scans that differ."""
    rng = np.random.default_rng(0)
    noise = rng.integers(-200, 300, SHAPE).astype(np.int16)
    rows = [["image", "patient_id", "modality"]]
    for number in range(scans):
        rows.append([f"scan{number}.nii", f"p{number}", "CT"])
        nib.save(nib.Nifti1Image(np.roll(noise, number, 0), np.eye(4)), folder / rows[-1][0])
    with (folder / "scans.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    store = prepare(Manifest.read(folder / "scans.csv"), folder / "store", StoreSettings(window_hu=(-200, 300)))
    for path in folder.glob("*.nii"):
        path.unlink()
    return store


def resident() -> tuple[float, float]:
    """Megabytes: the process's own, and all."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    own, whole = (int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "VmRSS"))
    return own, whole


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=10_000)
    parser.add_argument("--scans", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        make_store(Path(name), args.scans)
        # opened anew: what preparation left in memory is not the loader's
        store = Store.open(Path(name) / "store")
        size = sum(path.stat().st_size for path in (Path(name) / "store").rglob("*") if path.is_file())
        print(f"{args.scans} scans, {size / 1e9:.2f} GB; before the first view {resident()[1]:.0f} MB\n")
        print("| views | own MB | resident MB | views a second |\n|---|---|---|---|")
        steps = args.views // BATCH
        loader = make_loader(store, {"view": Role(RandomCrop((96,) * 3))}, batch=BATCH, seed=0, start=0, stop=steps)
        start, most = time.perf_counter(), 0.0
        for step, _ in enumerate(loader, 1):
            own, whole = resident()
            most = max(most, whole)
            if step % max(1, steps // 10) == 0:
                print(
                    f"| {step * BATCH} | {own:.0f} | {whole:.0f} | {step * BATCH / (time.perf_counter() - start):.0f} |"
                )
        print(f"\nat most {most:.0f} MB at any time")


if __name__ == "__main__":
    main()
