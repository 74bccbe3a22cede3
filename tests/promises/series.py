"""DICOM series whose every voxel and affine are known in closed form, written without the code under test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medssl.errors import MedsslError
from medssl.io.read import read
from medssl.volume import Volume

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SHAPE = (6, 5, 4)
"""Columns, rows, slices."""

SPACING = (1.9, 0.7)
"""Millimetres between rows, between columns: three different edges of a voxel, so that a swap shows."""

ORIGIN = (10.5, -20.25, 30.0)
PRIVATE = ("CANARY", "Zebedee", "19440606")
"""Parts of what stands in the private tags; none may ever be seen in a message or an output."""

Change = Callable[[int, Dataset], Any]


def turned(seed: int) -> tuple[float, ...]:
    """ImageOrientationPatient of a random rotation, rounded as scanners write it."""
    draws = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(draws.normal(size=(3, 3)))
    return tuple(float(value) for value in np.round(np.concatenate([rotation[:, 0], rotation[:, 1]]), 6))


def normal_of(directions: Sequence[float]) -> np.ndarray:
    """The unit normal of a slice, LPS."""
    normal = np.cross(directions[:3], directions[3:])
    return normal / np.linalg.norm(normal)


def voxels(shape: Sequence[int] = SHAPE, dtype: Any = np.int16) -> np.ndarray:
    """Voxels ``(i, j, k)`` that are all different, where the type has room for as many."""
    return (np.arange(np.prod(shape)).reshape(shape)).astype(dtype)


def truth(
    directions: Sequence[float] = AXIAL,
    step: Sequence[float] | float = 3.0,
    spacing: Sequence[float] = SPACING,
    origin: Sequence[float] = ORIGIN,
) -> np.ndarray:
    """The RAS affine of voxel (column, row, slice); a single number steps along the normal."""
    across = normal_of(directions) * step if isinstance(step, float | int) else np.asarray(step, dtype=float)
    out = np.eye(4)
    out[:3, 0] = np.asarray(directions[:3]) * spacing[1]
    out[:3, 1] = np.asarray(directions[3:]) * spacing[0]
    out[:3, 2] = across
    out[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ out


def slices(
    data: np.ndarray | None = None,
    directions: Sequence[float] = AXIAL,
    step: Sequence[float] | float = 3.0,
    spacing: Sequence[float] = SPACING,
    origin: Sequence[float] = ORIGIN,
    change: Change | None = None,
    **tags: Any,
) -> list[Dataset]:
    """One dataset a slice, from the one at ``origin`` on; private tags are full of canaries.

    Args:
        data: voxels ``(i, j, k)`` as they are stored.
        directions: ImageOrientationPatient.
        step: LPS millimetres from one slice to the next, or their number along the normal.
        spacing: between rows, between columns.
        origin: LPS position of the first voxel.
        change: called with (slice number, dataset); False leaves the slice out.
        tags: DICOM keywords for every slice; None removes one.
    """
    stored = voxels() if data is None else data
    across = normal_of(directions) * step if isinstance(step, float | int) else np.asarray(step, dtype=float)
    out = []
    for k in range(stored.shape[2]):
        one = _plain(stored[:, :, k].T)
        one.SOPInstanceUID, one.InstanceNumber = f"1.2.826.0.1.3680043.8.498.{k + 1}", k + 1
        one.PixelSpacing, one.ImageOrientationPatient = list(spacing), list(directions)
        one.ImagePositionPatient = [float(value) for value in np.round(np.asarray(origin) + k * across, 8)]
        for keyword, value in tags.items():
            setattr(one, keyword, value)
            if value is None:
                delattr(one, keyword)
        if change is None or change(k, one) is not False:
            out.append(one)
    return out


def _plain(plane: np.ndarray) -> Dataset:
    out = Dataset()
    out.SOPClassUID, out.Modality, out.ImageType = CTImageStorage, "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    out.PatientID, out.PatientName, out.PatientBirthDate = "CANARY-MRN-1", "CANARY^Zebedee", "19440606"
    out.InstitutionName, out.StudyDescription = "CANARY Infirmary", "CANARY Zebedee had a fall"
    out.StudyInstanceUID, out.SeriesInstanceUID, out.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    out.SamplesPerPixel, out.PhotometricInterpretation = 1, "MONOCHROME2"
    out.RescaleSlope, out.RescaleIntercept = 1, 0
    set_pixels(out, plane)
    return out


def set_pixels(one: Dataset, plane: np.ndarray) -> None:
    """Put an integer plane ``(rows, columns)`` into a slice, little-endian."""
    bits = plane.dtype.itemsize * 8
    one.Rows, one.Columns = plane.shape
    one.BitsAllocated, one.BitsStored, one.HighBit = bits, bits, bits - 1
    one.PixelRepresentation = int(plane.dtype.kind == "i")
    raw = np.ascontiguousarray(plane.astype(plane.dtype.newbyteorder("<"))).tobytes()
    one.PixelData = raw + b"\0" * (len(raw) % 2)
    one["PixelData"].VR = "OW" if bits > 8 else "OB"


def save(
    datasets: Sequence[Dataset],
    folder: Path,
    names: Callable[[int], str] = lambda n: f"IM{(7 * n) % 97:02d}.dcm",
    syntax: str = ExplicitVRLittleEndian,
) -> Path:
    """Write slices into a folder, in names that do not follow their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, one in enumerate(datasets):
        save_one(one, folder / names(n), syntax)
    return folder


def save_one(one: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write one file in an uncompressed or deflated transfer syntax; pixels are swapped for the big-endian one."""
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = syntax
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    one.file_meta.MediaStorageSOPInstanceUID = one.get("SOPInstanceUID", "1.2")
    before = one.get("PixelData")
    if syntax == ExplicitVRBigEndian and before is not None and one.BitsAllocated > 8:
        one.PixelData = np.frombuffer(before, dtype=f"u{one.BitsAllocated // 8}").byteswap().tobytes()
    one.save_as(
        path,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    if before is not None:
        one.PixelData = before
    return path


SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}


def item(**tags: Any) -> Items:
    """A sequence of one item."""
    out = Dataset()
    for keyword, value in tags.items():
        setattr(out, keyword, value)
    return Items([out])


def enhanced(
    data: np.ndarray | None = None,
    directions: Sequence[float] = AXIAL,
    step: Sequence[float] | float = 3.0,
    order: Sequence[int] | None = None,
    change: Change | None = None,
    origin: Sequence[float] = ORIGIN,
) -> Dataset:
    """One multi-frame MR dataset whose frames lie in ``order``; ``change`` gets (slice number, functional group)."""
    stored = voxels() if data is None else data
    across = normal_of(directions) * step if isinstance(step, float | int) else np.asarray(step, dtype=float)
    order = list(range(stored.shape[2])) if order is None else list(order)
    out = slices(stored)[0]
    out.SOPClassUID, out.Modality = "1.2.840.10008.5.1.4.1.1.4.1", "MR"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(out, keyword)
    del out.RescaleIntercept
    out.SharedFunctionalGroupsSequence = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=list(directions)),
        PixelMeasuresSequence=item(PixelSpacing=list(SPACING)),
        PixelValueTransformationSequence=item(RescaleSlope=1, RescaleIntercept=0, RescaleType="US"),
    )
    groups = []
    for k in order:
        group = Dataset()
        place = [float(value) for value in np.round(np.asarray(origin) + k * across, 8)]
        group.PlanePositionSequence = item(ImagePositionPatient=place)
        group.FrameContentSequence = item(InStackPositionNumber=k + 1, StackID="1")
        if change is not None:
            change(k, group)
        groups.append(group)
    out.PerFrameFunctionalGroupsSequence = Items(groups)
    out.NumberOfFrames = len(order)
    out.PixelData = b"".join(stored[:, :, k].T.astype(stored.dtype.newbyteorder("<")).tobytes() for k in order)
    return out


def assert_same(scan: Volume, wanted: np.ndarray, affine: np.ndarray, tolerance: float = 1e-4) -> None:
    """Every voxel of ``wanted`` stands in ``scan`` at the same place in the body, whatever the storage order (P1)."""
    assert scan.data.shape[0] == 1
    assert sorted(scan.shape) == sorted(wanted.shape)
    index = np.indices(wanted.shape).reshape(3, -1)
    there = np.linalg.inv(scan.affine)[:3] @ affine @ np.vstack([index, np.ones(index.shape[1])])
    whole = np.rint(there).astype(int)
    assert float(np.abs(there - whole).max()) < tolerance
    assert whole.min() >= 0
    assert (whole.max(axis=1) < scan.shape).all()
    np.testing.assert_allclose(scan.data[0][tuple(whole)], wanted.reshape(-1), rtol=1e-6, atol=1e-4)


def refusal(path: Path, **options: Any) -> MedsslError:
    """The error of reading ``path``, checked for what every error must be: one line, a file, nothing private."""
    with pytest.raises(MedsslError, match=r"\[[a-z-]+\]") as caught:
        read(path, **options)
    error = caught.value
    line = error.line()
    assert error.code != "internal", line
    assert error.path is not None, line
    assert "\n" not in line
    assert not any(part in line for part in PRIVATE), line
    return error


def names_in(error: MedsslError, *names: str) -> bool:
    """Whether an error's line speaks of each of these files."""
    return all(name in error.line() for name in names)


def fresh(folder: Path) -> Path:
    """The folder, emptied, for tests that go round many times."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder
