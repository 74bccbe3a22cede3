"""RT Dose grids (PS3.3 C.8.8.3): planes placed by GridFrameOffsetVector, values by DoseGridScaling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom.files import read_dataset
from medssl.io.dicom.frame import Frame
from medssl.io.dicom.planes import single_frame
from medssl.io.dicom.tags import numbers, raw, text, whole

_TAGS = (
    "NumberOfFrames",
    "GridFrameOffsetVector",
    "DoseGridScaling",
    "DoseUnits",
    "DoseType",
    "DoseSummationType",
)
_AXIAL = np.array([[1.0, 0, 0], [0, 1, 0]])
_SAME_MM = 1e-3


def dose_frames(dataset: Any, path: Path) -> list[Frame]:
    """The planes of a dose grid, in gray where DoseUnits says so.

    Raises:
        InputError: ``geometry`` or ``values``: where planes lie or what a stored value is worth is not said.
    """
    more = read_dataset(path, _TAGS, stop_before_pixels=True)
    scaling = _scaling(more, path)
    if raw(dataset, "RescaleSlope") is not None or raw(dataset, "ModalityLUTSequence") is not None:
        raise InputError("both DoseGridScaling and a rescale: which holds is not said", path=path, code="values")
    unit = text(more, "DoseUnits").upper()
    if unit not in ("GY", "RELATIVE"):
        raise InputError("DoseUnits must be GY or RELATIVE", path=path, code="values")
    kind = text(more, "DoseType").upper()
    if kind == "ERROR":
        raise InputError("an RT dose of type ERROR, a difference and not a dose", path=path, code="not-a-volume")
    first = single_frame(dataset, path)
    count = whole(more, "NumberOfFrames", path) if raw(more, "NumberOfFrames") else 1
    offsets = _offsets(more, first, count, path) if count > 1 else np.zeros(1)
    normal = np.cross(first.directions[0], first.directions[1])
    # two doses of one series (two beams, say) share every tag that tells series apart
    hard = (*first.hard, f"dose {first.instance or path}")
    return [
        replace(
            first,
            index=k if count > 1 else None,
            position=first.position + offset * normal,
            rescale=(scaling, 0.0),
            hard=hard,
            unit=unit,
        )
        for k, offset in enumerate(offsets)
    ]


def _scaling(more: Any, path: Path) -> float:
    try:
        out = float(numbers(more, "DoseGridScaling", 1, path)[0])
    except InputError as error:
        raise InputError(error.reason, path=path, code="values") from error
    if out <= 0:
        raise InputError(f"DoseGridScaling must be positive, got {out:g}", path=path, code="values")
    return out


def _offsets(more: Any, first: Frame, count: int, path: Path) -> NDArray[np.float64]:
    """Millimetres from the first plane along the normal, from either form of the vector."""
    offsets = numbers(more, "GridFrameOffsetVector", count, path)
    steps = np.diff(offsets)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise InputError("GridFrameOffsetVector does not rise or fall from plane to plane", path=path, code="geometry")
    if offsets[0] == 0:
        return offsets
    axial = np.abs(first.directions - _AXIAL).max() < _SAME_MM
    if axial and abs(offsets[0] - first.position[2]) < _SAME_MM:
        # the older form: patient z of each plane
        return np.asarray(offsets - offsets[0], dtype=np.float64)
    raise InputError(
        "GridFrameOffsetVector starts neither with 0 nor, in an axial grid, with the z of ImagePositionPatient",
        path=path,
        code="geometry",
    )
