"""P1 for file formats: exact voxels and affine on random valid files, against the bytes and against two libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from medssl.draws import generator
from medssl.io.read import read
from medssl.volume import LPS_TO_RAS, Volume
from tests.promises.files import CODES_OF, nifti, nrrd, put

MET = {"u1": "UCHAR", "i1": "CHAR", "i2": "SHORT", "u2": "USHORT", "i4": "INT", "u4": "UINT", "f4": "FLOAT"}
MET |= {"f8": "DOUBLE", "i8": "LONG_LONG", "u8": "ULONG_LONG"}
NRRD = {"u1": "uchar", "i1": "int8", "i2": "short", "u2": "uint16", "i4": "int", "u4": "uint", "f4": "float"}
NRRD |= {"f8": "double", "i8": "longlong", "u8": "uint64"}


def placed(scan: Volume, data: np.ndarray, affine: np.ndarray) -> None:
    """Every voxel less than 0.06 voxel off, and less than 0.2 % of the range."""
    index = np.indices(scan.shape).reshape(3, -1)
    apart = (scan.affine[:3, :3] - affine[:3, :3]) @ index + (scan.affine[:3, 3] - affine[:3, 3])[:, None]
    voxels = np.abs(np.linalg.solve(affine[:3, :3], apart))
    assert voxels.max() < 0.06
    want = data.astype(np.float64)
    assert np.abs(scan.data[0].astype(np.float64) - want).max() <= 0.002 * np.ptp(want)


def random_affine(rng: np.random.Generator, shear: bool) -> np.ndarray:
    """Any axis order, flips, a turn, spacings from 0.1 to 9 mm, an origin up to a metre away."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] if rng.random() < 0.5 else np.eye(3)
    order = np.eye(3)[rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
    out = np.eye(4)
    out[:3, :3] = turn @ order @ np.diag(np.exp(rng.uniform(np.log(0.1), np.log(9), 3)))
    if shear:
        out[:3, 2] += 0.4 * out[:3, 0]
    out[:3, 3] = rng.uniform(-1000, 1000, 3)
    return out


def random_voxels(rng: np.random.Generator, kind: str) -> np.ndarray:
    shape = tuple(int(n) for n in rng.integers(2, 8, 3))
    if kind[0] == "f":
        return (rng.normal(size=shape) * 10 ** rng.uniform(-6, 6)).astype(kind)
    limits = np.iinfo(kind)
    return rng.integers(max(limits.min, -(2**50)), min(limits.max, 2**50), shape, endpoint=True).astype(kind)


def qform_of(affine: np.ndarray) -> dict[str, Any]:
    """The fields of a qform, found as nibabel finds them."""
    header = nibabel.Nifti1Header()
    header.set_qform(affine, code=1)
    names = [float(header[f"quatern_{letter}"]) for letter in "bcd"]
    return {"quatern": names, "qoffset": affine[:3, 3], "qform_code": 1, "pixdim": header["pixdim"]}


@pytest.mark.parametrize("kind", sorted(CODES_OF))
def test_p01_random_nifti_files_are_exact(tmp_path: Path, kind: str) -> None:
    for seed in range(8):
        rng = generator(seed, 1, 10)
        affine, data = random_affine(rng, shear=False), random_voxels(rng, kind)
        fields: dict[str, Any] = {"srow": affine[:3].ravel(), **qform_of(affine)}
        fields |= [{}, {"qform_code": 0}, {"sform_code": 0}][int(rng.integers(3))]
        slope, inter = [(0.0, 0.0), (1.0, 0.0), (0.37, -12.5), (1.0, -1024.0)][int(rng.integers(4))]
        order, version = "<>"[int(rng.integers(2))], int(rng.integers(1, 3))
        content = nifti(data, order=order, version=version, scl_slope=slope, scl_inter=inter, **fields)
        path = put(tmp_path / f"{seed}{rng.choice(['.nii', '.nii.gz'])}", content)
        scaled = data.astype("f8") * float(np.float32(slope)) + float(np.float32(inter)) if slope else data
        placed(read(path), scaled, affine)
        other = nibabel.load(path)
        placed(read(path), other.get_fdata(dtype=np.float64), other.affine)


def test_p01_sheared_nifti_files_are_exact(tmp_path: Path) -> None:
    for seed in range(8):
        rng = generator(seed, 1, 11)
        affine, data = random_affine(rng, shear=True), random_voxels(rng, "i2")
        scan = read(put(tmp_path / f"{seed}.nii", nifti(data, srow=affine[:3].ravel())))
        placed(scan, data, affine)
        assert "sheared" in scan.flags


@pytest.mark.parametrize("kind", sorted(MET))
@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_p01_random_files_of_itk_are_exact(tmp_path: Path, suffix: str, kind: str) -> None:
    for seed in range(3):
        rng = generator(seed, 1, 12)
        affine, data = random_affine(rng, shear=False), random_voxels(rng, kind)
        image = sitk.GetImageFromArray(np.ascontiguousarray(data.T))
        lps = LPS_TO_RAS @ affine
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        path = tmp_path / f"{seed}{suffix}"
        sitk.WriteImage(image, str(path), useCompression=bool(rng.integers(2)))
        placed(read(path), data, affine)


@pytest.mark.parametrize("kind", sorted(NRRD))
def test_p01_random_nrrd_files_are_exact(tmp_path: Path, kind: str) -> None:
    spaces = {"right-anterior-superior": [1, 1, 1], "LAS": [-1, 1, 1], "left-posterior-superior": [-1, -1, 1]}
    for seed in range(6):
        rng = generator(seed, 1, 13)
        affine, data = random_affine(rng, shear=bool(seed % 2)), random_voxels(rng, kind)
        space = list(spaces)[int(rng.integers(3))]
        local = np.array(spaces[space])[:, None] * affine[:3]
        vectors = ["(" + ",".join(repr(float(n)) for n in column) + ")" for column in local.T]
        order = "little" if rng.integers(2) else "big"
        fields = {
            "type": NRRD[kind],
            "sizes": " ".join(map(str, data.shape)),
            "space": space,
            "space_directions": " ".join(vectors[:3]),
            "space_origin": vectors[3],
            "endian": order,
        }
        body = data.astype(data.dtype.newbyteorder("<" if order == "little" else ">")).tobytes(order="F")
        path = put(tmp_path / f"{seed}.nrrd", nrrd(body, **fields))
        placed(read(path), data, affine)
        if not seed % 2:
            image = sitk.ReadImage(str(path))
            lps = np.eye(4)
            lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
            lps[:3, 3] = image.GetOrigin()
            placed(read(path), sitk.GetArrayFromImage(image).T, LPS_TO_RAS @ lps)
