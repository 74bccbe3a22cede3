"""PET in uptake values, from DICOM to the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medssl.cli import run
from medssl.errors import InputError
from medssl.io.read import read
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.store.store import Store
from tests.io.dicom.test_suv import pet
from tests.store.making import save, texture, write_manifest


def test_a_store_holds_uptake_values_of_pet_and_leaves_others_alone(tmp_path: Path) -> None:
    pet(tmp_path / "pet")
    save(tmp_path / "ct.nii.gz", texture((8, 8, 8)))
    rows = [
        {"image": "pet", "patient_id": "a", "modality": "PT"},
        {"image": "ct.nii.gz", "patient_id": "b", "modality": "CT"},
    ]
    write_manifest(tmp_path, rows)
    for name, options in (("plain", []), ("uptake", ["--suv"])):
        assert run(["prepare", str(tmp_path / "scans.csv"), str(tmp_path / name), *options], False) == 0
    plain, uptake = Store.open(tmp_path / "plain"), Store.open(tmp_path / "uptake")
    assert uptake.settings == StoreSettings(suv=True)
    assert "suv_bw" in uptake.entry(0).voxels.flags
    expected = read(tmp_path / "pet", suv=True)
    voxels = uptake.entry(0).voxels
    top = float(uptake.read(0, (0, 0, 0), voxels.shape[1:]).max()) * voxels.scale + voxels.offset
    assert top == pytest.approx(float(expected.data.max()), rel=1e-3)
    assert "suv_bw" not in plain.entry(0).voxels.flags
    whole = [store.read(1, (0, 0, 0), (8, 8, 8)) for store in (plain, uptake)]
    np.testing.assert_array_equal(*whole)


def test_pet_that_is_no_dicom_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "pet.nii.gz", texture((8, 8, 8)))
    manifest = write_manifest(tmp_path, [{"image": "pet.nii.gz", "patient_id": "a", "modality": "PT"}])
    with pytest.raises(InputError, match=r"pet\.nii\.gz"):
        prepare(manifest, tmp_path / "store", StoreSettings(suv=True))
