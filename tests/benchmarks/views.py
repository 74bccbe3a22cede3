"""How long a view takes, beside MONAI, TorchIO and batchgeneratorsv2: ``python tests/benchmarks/views.py``.

One core; 96³ views of a synthetic CT of 256×256×160 voxels. The peers get what suits them best: the scan as float32 in
memory, already in the network's range (medssl reads int16 from its store on disk), no bookkeeping of metadata, a cached
grid. TorchIO turns a box of 128 voxels and then crops, which leaves some corners empty but costs it least. All make one
dense copy at the end, as a batch would. Every change is applied to every view, with the same ranges. Peers come with
``pip install medssl[bench]``; what is not installed is left out.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import csv
import logging
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.views.augment.choose import augmentations
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.elastic import Elastic
from medssl.views.make import make_views
from medssl.views.view import Role, Spatial

SCAN, CROP = (256, 256, 160), 96
RADIANS, ZOOM, NOISE, BLUR, GAMMA = 0.3, 0.1, 0.1, (0.25, 1.0), (0.7, 1.5)
MOVED = 8.0
"""Largest displacement of an elastic deformation, in voxels."""
AROUND = 128
"""Edge of the box that TorchIO transforms before it crops."""
WINDOW = (-175, 250)
KINDS = ("crop", "crop and affine", "whole view", "whole view, elastic")

Make = Callable[[], Any]


def scan() -> np.ndarray:
    """Soft tissue, bone and air, with structure at every size."""
    rng = np.random.default_rng(0)
    out = rng.normal(40, 12, SCAN)
    for size, strength in ((32, 60.0), (8, 40.0)):
        coarse = rng.normal(0, strength, tuple(n // size for n in SCAN))
        out += np.kron(coarse, np.ones((size,) * 3))
    i, j, _ = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SCAN)]
    return np.where(i**2 + j**2 < 0.8, out, -1000).astype(np.int16)


def medssl(folder: Path, data: np.ndarray) -> dict[str, Make]:
    """Views from a store on disk, with everything that is drawn kept as plain data."""
    nib.save(nib.Nifti1Image(data, np.diag([1.5, 1.5, 1.5, 1.0])), folder / "scan.nii.gz")
    with (folder / "scans.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "patient_id", "modality"], ["scan.nii.gz", "a", "CT"]])
    store = prepare(Manifest.read(folder / "scans.csv"), folder / "store", StoreSettings(window_hu=WINDOW))
    crop = RandomCrop((CROP,) * 3)
    turned = Spatial(flip=(0.5,) * 3, rotate_deg=float(np.degrees(RADIANS)), stretch=(1 + ZOOM,) * 3)
    bent = Spatial(
        turned.flip, turned.rotate_deg, stretch=turned.stretch, elastic=Elastic(1.0, (MOVED * 1.5,) * 2, 36.0)
    )
    changes = augmentations(
        [
            {"name": "noise", "p": 1.0, "strength": [0.0, NOISE]},
            {"name": "blur", "p": 1.0, "strength": list(BLUR)},
            {"name": "gamma", "p": 1.0},
        ]
    )
    roles = [Role(crop), Role(crop, spatial=turned), Role(crop, 1, turned, changes), Role(crop, 1, bent, changes)]
    return {kind: _views(store, role) for kind, role in zip(KINDS, roles, strict=True)}


def _views(store: Store, role: Role) -> Make:
    rng = np.random.default_rng(1)
    return lambda: make_views(store, (0,), {"view": role}, rng)["view"][0].image


def monai(data: torch.Tensor) -> dict[str, Make]:
    """One resampling for rotation, zoom, place and elastic deformation."""
    import monai.transforms as t
    from monai.data import set_track_meta

    set_track_meta(False)
    size = (CROP,) * 3
    room = tuple((n - CROP) / 2 for n in SCAN)
    place: dict[str, Any] = {
        "prob": 1.0,
        "rotate_range": (RADIANS,) * 3,
        "scale_range": (ZOOM,) * 3,
        "translate_range": room,
        "spatial_size": size,
        "mode": "bilinear",
        "padding_mode": "border",
    }
    turned = t.RandAffine(**place, cache_grid=True)
    bent = t.Rand3DElastic(sigma_range=(5, 8), magnitude_range=(0, 100), **place)
    flips = [t.RandFlip(prob=0.5, spatial_axis=axis) for axis in range(3)]
    changes = [
        t.RandGaussianNoise(prob=1.0, std=NOISE),
        t.RandGaussianSmooth(prob=1.0, sigma_x=BLUR, sigma_y=BLUR, sigma_z=BLUR),
        t.RandAdjustContrast(prob=1.0, gamma=GAMMA),
    ]
    parts = [[t.RandSpatialCrop(size, random_size=False)], [turned, *flips], [turned, *flips, *changes]]
    made = [t.Compose(list(part)) for part in (*parts, [bent, *flips, *changes])]
    return {kind: lambda made=one: made(data).contiguous() for kind, one in zip(KINDS, made, strict=True)}


def torchio(data: torch.Tensor) -> dict[str, Make]:
    """A box around the view is turned and then cropped."""
    import torchio as tio

    rng = np.random.default_rng(1)
    subject = tio.Subject(image=tio.ScalarImage(tensor=data))
    turned = tio.RandomAffine(scales=ZOOM, degrees=float(np.degrees(RADIANS)), default_pad_value="minimum")
    bent = tio.RandomElasticDeformation(num_control_points=7, max_displacement=MOVED)
    middle, flip = tio.Crop((AROUND - CROP) // 2), tio.RandomFlip((0, 1, 2), 0.5)
    changes = [tio.RandomNoise(std=(0, NOISE)), tio.RandomBlur(BLUR), tio.RandomGamma(tuple(np.log(GAMMA)))]

    def cropped(edge: int, *parts: Any) -> Make:
        then = tio.Compose(list(parts)) if parts else lambda one: one

        def make() -> Any:
            ends = [(low, n - edge - low) for n in SCAN for low in [int(rng.integers(0, n - edge + 1))]]
            return then(tio.Crop(tuple(sum(ends, ())))(subject)).image.data.contiguous()

        return make

    made = [
        cropped(CROP),
        cropped(AROUND, turned, middle, flip),
        cropped(AROUND, turned, middle, flip, *changes),
        cropped(AROUND, bent, turned, middle, flip, *changes),
    ]
    return dict(zip(KINDS, made, strict=True))


def batchgenerators(data: torch.Tensor) -> dict[str, Make]:
    """One resampling for rotation, zoom, place and elastic deformation."""
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms

    place: dict[str, Any] = {"patch_size": (CROP,) * 3, "patch_center_dist_from_border": CROP // 2, "random_crop": True}
    affine = {"p_rotation": 1, "rotation": (-RADIANS, RADIANS), "p_scaling": 1, "scaling": (1 - ZOOM, 1 + ZOOM)}
    bent = {"p_elastic_deform": 1, "elastic_deform_scale": (0.2, 0.25), "elastic_deform_magnitude": (0, MOVED)}
    changes = [
        GaussianNoiseTransform((0, NOISE)),
        GaussianBlurTransform(BLUR),
        GammaTransform(GAMMA, p_invert_image=0, synchronize_channels=True, p_per_channel=1, p_retain_stats=0),
    ]
    turned, flip = SpatialTransform(**place, **affine), MirrorTransform((0, 1, 2))
    parts = [
        [SpatialTransform(**place)],
        [turned, flip],
        [turned, flip, *changes],
        [SpatialTransform(**place, **affine, **bent), flip, *changes],
    ]
    made = [ComposeTransforms(list(part)) for part in parts]
    return {
        kind: lambda made=one: made(image=data)["image"].contiguous() for kind, one in zip(KINDS, made, strict=True)
    }


def milliseconds(makes: dict[tuple[str, str], Make], rounds: int) -> dict[tuple[str, str], float]:
    """Median of each, taken in turns, so that whatever else the machine does meets all of them."""
    found: dict[tuple[str, str], list[float]] = {key: [] for key in makes}
    for make in makes.values():
        for _ in range(2):
            image = make()
            if tuple(image.shape) != (1, CROP, CROP, CROP):
                raise SystemExit(f"expected one channel of {CROP}³, got {tuple(image.shape)}")
    for _ in range(rounds):
        for key, make in makes.items():
            start = time.perf_counter()
            make()
            found[key].append(time.perf_counter() - start)
    return {key: 1e3 * statistics.median(times) for key, times in found.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    torch.set_num_threads(1)
    data = scan()
    image = torch.from_numpy(((data - WINDOW[0]) / np.float32(WINDOW[1] - WINDOW[0])).clip(0, 1).astype(np.float32))[
        None
    ]
    names = {"medssl": "medssl", "MONAI": "monai", "TorchIO": "torchio", "batchgeneratorsv2": "batchgeneratorsv2"}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        contenders = {"medssl": medssl(Path(folder), data)}
        contenders["medssl"]["whole view"]()
        first = time.perf_counter() - start
        for name, make in (("MONAI", monai), ("TorchIO", torchio), ("batchgeneratorsv2", batchgenerators)):
            try:
                version(names[name])
            except PackageNotFoundError:
                print(f"{name} is not installed: pip install medssl[bench]")
                continue
            contenders[name] = make(image)
        makes = {(name, kind): make for name, ways in contenders.items() for kind, make in ways.items()}
        found = milliseconds(makes, rounds)
    packages = ["torch", "numpy", "numba", *(names[name] for name in contenders)]
    print(", ".join(f"{package} {version(package)}" for package in packages))
    print(f"{platform.machine()}, 1 of {os.cpu_count()} cores, Python {platform.python_version()}, median of {rounds}")
    print(f"prepared the store and made the first view in {first:.1f} s\n")
    print(f"{'ms a view (views a second; times medssl)':<24}")
    print("| " + " | ".join(["", *KINDS]) + " |")
    print("|" + "---|" * (len(KINDS) + 1))
    for name in contenders:
        cells = []
        for kind in KINDS:
            ms = found[name, kind]
            times = "" if name == "medssl" else f"; {ms / found['medssl', kind]:.1f}×"
            cells.append(f"{ms:.1f} ({1e3 / ms:.0f}{times})")
        print("| " + " | ".join([name, *cells]) + " |")
    print(f"\nelastic adds to medssl's affine view: {found['medssl', KINDS[3]] / found['medssl', KINDS[2]]:.2f} times")


if __name__ == "__main__":
    main()
