from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medssl.io.read import read
from medssl.manifest import Manifest
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from medssl.volume import reorient
from tests.store.making import write_manifest


def _prepare(tmp_path: Path, root: Path, name: str) -> Store:
    beside = write_manifest(tmp_path, [{"image": name, "patient_id": "p", "modality": "MR"}])
    return prepare(Manifest.read(beside.path, root), tmp_path / "store", StoreSettings())


def test_mouse_brains_of_a_sixth_of_a_millimetre(tmp_path: Path, shared: Path) -> None:
    name = sorted((shared / "data" / "mouse" / "images").glob("*.nii.gz"))[0].name
    store = _prepare(tmp_path, shared / "data" / "mouse" / "images", name)
    voxels = store.entry(0).voxels
    assert np.allclose(np.linalg.norm(voxels.affine[:3, :3], axis=0), 0.15, atol=1e-3)
    extent = voxels.body[1] - voxels.body[0]
    assert (extent >= np.array(voxels.shape[1:]) // 3).all()
    seen = (store.read(0, (0, 0, 0), voxels.shape[1:]) * voxels.scale + voxels.offset - voxels.low) / (
        voxels.high - voxels.low
    )
    assert 0.02 < float(np.clip(seen, 0, 1).mean()) < 0.9


@pytest.mark.parametrize("number", ["001", "004"])
def test_hippocampus_of_any_unit_and_type(tmp_path: Path, shared: Path, number: str) -> None:
    root = shared / "data" / "hippocampus" / "images"
    name = f"hippocampus_{number}.nii.gz"
    store = _prepare(tmp_path, root, name)
    source = read(root / name)
    voxels = store.entry(0).voxels
    values = store.read(0, (0, 0, 0), voxels.shape[1:]).astype(np.float64) * voxels.scale + voxels.offset
    truth = reorient(source).data.astype(np.float64)
    inside = (truth >= voxels.low) & (truth <= voxels.high)
    assert inside.mean() > 0.95
    assert np.abs(values - truth)[inside].max() <= 2e-5 * (voxels.high - voxels.low)
