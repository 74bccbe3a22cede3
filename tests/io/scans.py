"""Small scans with every voxel marked, written in each format without the code under test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medssl.volume import Volume

SHAPE = (6, 5, 4)


def marked(shape: tuple[int, int, int] = SHAPE, dtype: Any = np.int16) -> np.ndarray:
    """Voxels that are all different, so that every flip and permutation shows."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def oblique() -> np.ndarray:
    """A turned affine with three different spacings."""
    a, b = 0.3, 0.2
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    out = np.eye(4)
    out[:3, :3] = turn_z @ turn_x @ np.diag([0.7, 1.9, 3.0])
    out[:3, 3] = [-20.0, 33.0, -7.0]
    return out


def volume(dtype: Any = np.int16, affine: np.ndarray | None = None) -> Volume:
    """A marked, oblique volume."""
    return Volume(marked(dtype=dtype)[None], oblique() if affine is None else affine)


def at_mm(scan: Volume, mm: np.ndarray) -> float:
    """The value of the voxel whose centre lies at ``mm``."""
    index = np.linalg.inv(scan.affine) @ [*mm, 1.0]
    assert np.abs(index[:3] - np.rint(index[:3])).max() < 1e-3
    i, j, k = np.rint(index[:3]).astype(int)
    return float(scan.data[0, i, j, k])


def write_slices(
    folder: Path,
    count: int = 4,
    step: tuple[float, float, float] = (0.0, 0.0, 3.0),
    directions: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    change: Any = None,
    **tags: Any,
) -> Path:
    """A DICOM series of 6 columns × 5 rows with pixel spacing 1.9 (rows) and 0.7 (columns).

    Args:
        folder: made if it is not there.
        count: slices.
        step: LPS millimetres from one slice to the next.
        directions: ImageOrientationPatient.
        change: called with (slice number, dataset) before writing; returning False leaves the slice out.
        tags: DICOM keywords for every slice.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    voxels = marked((6, 5, count))
    for n in range(count):
        data = Dataset()
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"1.2.3.{n + 1}"
        data.PatientID, data.PatientName = "CANARY-MRN-000451", "CANARY^PHI"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
        data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.Rows, data.Columns, data.SamplesPerPixel = 5, 6, 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.PixelSpacing = [1.9, 0.7]
        data.ImageOrientationPatient = list(directions)
        data.ImagePositionPatient = [10.0 + n * step[0], 20.0 + n * step[1], 30.0 + n * step[2]]
        data.RescaleSlope, data.RescaleIntercept, data.InstanceNumber = 1, 0, count - n
        data.PixelData = voxels[:, :, n].T.astype("<i2").tobytes()
        for keyword, value in tags.items():
            setattr(data, keyword, value)
        if change is not None and change(n, data) is False:
            continue
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.save_as(folder / f"IM{(7 * n) % 11:02d}.dcm", enforce_file_format=True)
    return folder
