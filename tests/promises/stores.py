"""Small sets of scans and what their stores hold."""

from __future__ import annotations

from pathlib import Path

from medssl.manifest import Manifest
from tests.store.making import blobs, save, texture, write_manifest

SHAPE = (12, 10, 8)


def small_set(folder: Path, count: int, shape: tuple[int, int, int] = SHAPE) -> Manifest:
    """Labelled scans, one a patient, and their manifest."""
    rows = []
    for number in range(count):
        save(folder / f"s{number}.nii", texture(shape, number))
        save(folder / f"l{number}.nii", blobs(shape))
        rows.append({"image": f"s{number}.nii", "patient_id": f"p{number}", "label": f"l{number}.nii"})
    return write_manifest(folder, rows)


def contents(store: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def leftovers(store: Path) -> list[str]:
    """Names of what unfinished work has left."""
    return sorted(path.name for path in store.rglob(".*"))
