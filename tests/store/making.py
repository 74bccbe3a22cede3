"""Small scans, manifests and stores for tests."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store

OBLIQUE = np.array([[-0.8, 0.1, 0.3, 12.0], [0.2, 1.1, -0.2, -7.0], [0.1, 0.2, 2.5, 30.0], [0.0, 0.0, 0.0, 1.0]])
"""Sheared and turned, left-right flipped, with three voxel sizes."""


def save(path: Path, data: NDArray[Any], affine: NDArray[Any] | None = None) -> Path:
    """Write ``(i, j, k)`` voxels as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def texture(shape: tuple[int, int, int], seed: int = 0, dtype: Any = np.int16) -> NDArray[Any]:
    """Voxels without order, 0 to 999."""
    return np.random.default_rng(seed).integers(0, 1000, shape).astype(dtype)


def blobs(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A label map of two classes, the second of a single voxel."""
    label = np.zeros(shape, dtype=np.uint8)
    label[tuple(slice(n // 4, n // 2) for n in shape)] = 1
    label[shape[0] - 2, shape[1] - 2, shape[2] - 1] = 2
    return label


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> Manifest:
    """A manifest with these rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with open(folder / "scans.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return Manifest.read(folder / "scans.csv")


def make_store(
    folder: Path,
    volumes: list[NDArray[Any]],
    *,
    affine: NDArray[Any] | None = None,
    labels: list[NDArray[Any]] | None = None,
    settings: StoreSettings | None = None,
    rows: list[dict[str, str]] | None = None,
) -> Store:
    """A store of volumes; each belongs to a patient of its own unless ``rows`` says otherwise."""
    table = []
    for number, data in enumerate(volumes):
        save(folder / f"scan{number}.nii.gz", data, affine)
        row = {"image": f"scan{number}.nii.gz", "patient_id": f"p{number}", "modality": "MR"}
        if labels is not None:
            save(folder / f"label{number}.nii.gz", labels[number], affine)
            row["label"] = f"label{number}.nii.gz"
        table.append(row | (rows[number] if rows else {}))
    return prepare(write_manifest(folder, table), folder / "store", settings or StoreSettings())
