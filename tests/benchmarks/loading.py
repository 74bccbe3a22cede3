"""Plain crops a second out of a loader, beside the field's own ways: ``python tests/benchmarks/loading.py``.

Twelve synthetic CTs of 256×256×160 int16 voxels of 1.5 mm, random crops of 96³ as float32 in the range of the network,
in batches of four, one thread a process. The peers hold or keep the scans ready for use, in that range, and get one
process and whatever suits them best: MONAI reads plain uncompressed files, keeps tensors on disk
(``PersistentDataset``) or in memory (``CacheDataset``), without bookkeeping of metadata; TorchIO's queue samples 16
patches a volume; blosc2 files in chunks of 32³ are read in part, as nnssl does. Each is warmed up before it is timed;
the contenders take turns. Peers come with ``pip install medssl[bench]``; what is not installed is left out.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import csv
import itertools
import logging
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch.utils.data import DataLoader

from medssl.loading.loader import make_loader
from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Role

SCANS, SHAPE, CROP, BATCH = 12, (256, 256, 160), 96, 4
WINDOW = (-175, 250)

Batches = Iterator[torch.Tensor]


def write_scans(folder: Path) -> list[Path]:
    """Soft tissue, bone and air, with structure at every size and noise in every voxel."""
    rng = np.random.default_rng(0)
    i, j, _ = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    inside = i**2 + j**2 < 0.8
    rows, out = [["image", "patient_id", "modality"]], []
    for number in range(SCANS):
        data = rng.normal(40, 12, SHAPE).astype(np.float32)
        for size, strength in ((32, 60.0), (8, 40.0)):
            data += np.kron(rng.normal(0, strength, tuple(n // size for n in SHAPE)), np.ones((size,) * 3))
        out.append(folder / f"scan{number}.nii")
        nib.save(nib.Nifti1Image(np.where(inside, data, -1000).astype(np.int16), np.diag([1.5, 1.5, 1.5, 1])), out[-1])
        rows.append([out[-1].name, f"p{number}", "CT"])
    with (folder / "scans.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return out


def ranged(data: Any) -> np.ndarray:
    """Values of a scan in the network's range."""
    return ((np.asarray(data, np.float32) - WINDOW[0]) / np.float32(WINDOW[1] - WINDOW[0])).clip(0, 1)


def medssl(store: Store, workers: int) -> Batches:
    """The store and the loader, with everything that is drawn kept as plain data."""
    roles = {"view": Role(RandomCrop((CROP,) * 3))}
    loader = make_loader(store, roles, None, batch=BATCH, seed=0, start=0, stop=10**9, workers=workers)
    return (batch["view"].image for batch in loader)


def monai(paths: list[Path], folder: Path, kind: str) -> Batches:
    """MONAI's datasets; what does not change is cached, the crop is not."""
    import monai.transforms as t
    from monai.data import CacheDataset, Dataset, PersistentDataset, set_track_meta

    set_track_meta(False)
    load = t.LoadImage(image_only=True, reader="NibabelReader", dtype=np.int16)
    read = [load, t.EnsureChannelFirst(channel_dim="no_channel")]
    values = t.ScaleIntensityRange(*WINDOW, 0, 1, clip=True)
    crop = t.RandSpatialCrop((CROP,) * 3, random_size=False)
    names = [str(path) for path in paths]
    if kind == "plain files":
        # the crop first: fewer voxels are then scaled
        dataset = Dataset(names, t.Compose([*read, crop, values]))
    elif kind == "PersistentDataset":
        dataset = PersistentDataset(names, t.Compose([*read, values, crop]), folder / "persistent")
    else:
        dataset = CacheDataset(names, t.Compose([*read, values, crop]), num_workers=0, progress=False, copy_cache=False)
    loader = DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=0)
    return itertools.chain.from_iterable(itertools.repeat(loader))


def torchio(paths: list[Path]) -> Batches:
    """The queue of the manual: 16 patches of each volume, four volumes ahead."""
    import torchio as tio

    subjects = [tio.Subject(image=tio.ScalarImage(path)) for path in paths]
    values = tio.RescaleIntensity((0, 1), in_min_max=WINDOW)
    dataset = tio.SubjectsDataset(subjects, transform=tio.Compose([tio.Clamp(*WINDOW), values]))
    queue = tio.Queue(dataset, 64, 16, tio.UniformSampler(CROP), num_workers=0)
    loader = tio.SubjectsLoader(queue, batch_size=BATCH, num_workers=0)
    return (batch["image"]["data"] for batch in itertools.chain.from_iterable(itertools.repeat(loader)))


def blosc(paths: list[Path], folder: Path) -> Batches:
    """Chunked files, of which the blocks that a crop touches are unpacked."""
    import blosc2

    blosc2.set_nthreads(1)
    (folder / "blosc2").mkdir()
    names = []
    for path in paths:
        names.append(str(folder / "blosc2" / f"{path.stem}.b2nd"))
        packing = {"codec": blosc2.Codec.ZSTD, "clevel": 3}
        data = ranged(nib.load(path).dataobj)
        blosc2.asarray(data, urlpath=names[-1], chunks=(64,) * 3, blocks=(32,) * 3, cparams=packing)
    rng = np.random.default_rng(0)

    def crop() -> torch.Tensor:
        array = blosc2.open(names[int(rng.integers(len(names)))], mode="r", mmap_mode="r")
        place = tuple(slice(low, low + CROP) for low in (int(rng.integers(n - CROP + 1)) for n in SHAPE))
        return torch.from_numpy(array[place])[None]

    return (torch.stack([crop() for _ in range(BATCH)]) for _ in itertools.count())


def megabytes(folder: Path) -> float:
    """Of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def rates(contenders: dict[str, Callable[[], Batches]], seconds: float, rounds: int) -> dict[str, float]:
    """Median crops a second of each, in turns, so that whatever else the machine does meets all of them."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, begin in contenders.items():
            batches = begin()
            # every scan has been met, the kernels are compiled, queues are full
            for _ in range(24 if "plain files" not in name and "Queue" not in name else 3):
                check(next(batches))
            start, count = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                count += len(next(batches))
            found[name].append(count / (time.perf_counter() - start))
            del batches
    return {name: statistics.median(rate) for name, rate in found.items()}


def check(images: torch.Tensor) -> None:
    """Refuse a contender that does less than its work."""
    low, high = float(images.min()), float(images.max())
    if tuple(images.shape) != (BATCH, 1, CROP, CROP, CROP) or images.dtype != torch.float32 or low < 0 or high > 1:
        raise SystemExit(f"expected batches of {CROP}³ in [0, 1], got {tuple(images.shape)} in [{low}, {high}]")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each contender and round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_scans(folder)
        start = time.perf_counter()
        store = prepare(Manifest.read(folder / "scans.csv"), folder / "store", StoreSettings(window_hu=WINDOW))
        prepared = time.perf_counter() - start
        contenders: dict[str, Callable[[], Batches]] = {
            "medssl": lambda: medssl(store, 0),
            "medssl, one worker process": lambda: medssl(store, 1),
            "medssl, two worker processes": lambda: medssl(store, 2),
        }
        packages = ["torch", "numpy"]
        if find_spec("monai"):
            for kind in ("plain files", "PersistentDataset", "CacheDataset"):
                made = monai(paths, folder, kind)
                contenders[f"MONAI {kind}"] = lambda made=made: made
            packages.append("monai")
        if find_spec("torchio"):
            contenders["TorchIO Queue"] = lambda: torchio(paths)
            packages.append("torchio")
        if find_spec("blosc2"):
            parts = blosc(paths, folder)
            contenders["blosc2, partial reads"] = lambda: parts
            packages.append("blosc2")
        found = rates(contenders, args.seconds, args.rounds)
        disk = {"medssl": megabytes(folder / "store"), "MONAI PersistentDataset": megabytes(folder / "persistent")}
        disk |= {"blosc2, partial reads": megabytes(folder / "blosc2")}
    print(", ".join(f"{package} {version(package)}" for package in packages))
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f} at the end"
    )
    print(f"median of {args.rounds} rounds of {args.seconds:g} s; the store was prepared in {prepared:.1f} s\n")
    print("| | crops a second | MB on disk |\n|---|---|---|")
    for contender, rate in found.items():
        print(f"| {contender} | {rate:.0f} | {f'{disk[contender]:.0f}' if disk.get(contender) else '–'} |")
    print()
    if (kept := "MONAI PersistentDataset") in found:
        print(f"medssl is {found['medssl'] / found[kept]:.1f} times as fast as {kept}", end="")
        print(f" and takes {disk['medssl'] / disk[kept]:.2f} of its disk")
    two, one = found["medssl, two worker processes"], found["medssl, one worker process"]
    print(f"two worker processes give {two / one:.2f} times the crops of one")


if __name__ == "__main__":
    main()
