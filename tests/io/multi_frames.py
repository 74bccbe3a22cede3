"""Multi-frame DICOM files, written frame by frame without the code under test."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.io.scans import marked, write_slices

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, 0.8)
"""A row and a column direction; their cross product is (0.48, −0.64, 0.6)."""

NORMAL = np.array([0.48, -0.64, 0.6])


def item(**tags: Any) -> Any:
    """A sequence of one item."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    out = Dataset()
    for keyword, value in tags.items():
        setattr(out, keyword, value)
    return Items([out])


def write_file(folder: Path, change: Any, name: str = "IM00.dcm", count: int = 4) -> Path:
    """One file: the first slice of ``write_slices``, changed, with ``count`` marked frames as its pixels."""

    def once(n: int, data: Any) -> bool:
        if n:
            return False
        data.NumberOfFrames = count
        data.PixelData = marked((6, 5, count)).T.astype("<i2").tobytes()
        change(data)
        return True

    write_slices(folder, change=once)
    if name != "IM00.dcm":
        (folder / "IM00.dcm").rename(folder / name)
    return folder / name


def write_enhanced(
    folder: Path, places: Sequence[int], change: Any = None, name: str = "IM00.dcm", depth: int = 0
) -> Path:
    """An enhanced file whose frame ``n`` lies at ``places[n]`` × 3 mm and has the marked voxels of that place.

    Args:
        folder: made if it is not there.
        places: the place of each frame along the normal.
        change: called with (frame, its functional group, the data set) before writing.
        name: of the file.
        depth: places in all, where this file does not hold the last one.
    """
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    def enhance(data: Any) -> None:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(data, keyword)
        del data.RescaleSlope, data.RescaleIntercept
        data.SOPInstanceUID = f"1.2.3.{sum(name.encode())}"
        shared = Dataset()
        shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        shared.PixelMeasuresSequence = item(PixelSpacing=[1.9, 0.7])
        data.SharedFunctionalGroupsSequence = Items([shared])
        groups = []
        for n, place in enumerate(places):
            group = Dataset()
            group.PlanePositionSequence = item(ImagePositionPatient=[10, 20, 30 + 3 * place])
            group.PixelValueTransformationSequence = item(RescaleSlope=1, RescaleIntercept=0)
            group.FrameContentSequence = item(StackID="1", InStackPositionNumber=place + 1)
            if change is not None:
                change(n, group, data)
            groups.append(group)
        data.PerFrameFunctionalGroupsSequence = Items(groups)
        voxels = marked((6, 5, depth or max(places) + 1))
        data.PixelData = b"".join(voxels[:, :, place].T.astype("<i2").tobytes() for place in places)

    return write_file(folder, enhance, name, len(places))


def csa_header(elements: dict[str, Sequence[str]]) -> bytes:
    """A private header of the second form."""
    out = b"SV10\x04\x03\x02\x01" + struct.pack("<II", len(elements), 77)
    for name, values in elements.items():
        out += struct.pack("<64si4siii", name.encode(), len(values), b"DS\0\0", 3, len(values) + 2, 77)
        for value in [*values, "", ""]:
            data = value.encode() + b"\0" if value else b""
            out += struct.pack("<4i", len(data), len(data), 77, len(data)) + data.ljust((len(data) + 3) // 4 * 4, b"\0")
    return out
