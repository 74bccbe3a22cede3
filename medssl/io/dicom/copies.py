"""Why two image planes lie in one place: copies of a file, other slices that carry its name, or planes side by side."""

from __future__ import annotations

import filecmp

import numpy as np

from medssl.errors import InputError
from medssl.io.dicom.frame import Frame

_SAME_MM = 0.01


def double_error(pairs: list[tuple[Frame, Frame]], planes: int) -> InputError:
    """The refusal of planes that lie in one plane; copies are told before other doubles.

    Args:
        pairs: neighbours along the normal that lie in one plane.
        planes: how many there are in all.
    """
    a, b = next((pair for pair in pairs if _same_instance(*pair)), pairs[0])
    beside = float(np.linalg.norm(a.position - b.position))
    hint = "find out which of the two belongs to the scan, or whether two scans were put together"
    if beside > _SAME_MM:
        reason = f"{a.name} and {b.name} lie in one plane, {beside:.4g} mm beside each other"
    else:
        reason = f"duplicate slice position: {a.name} and {b.name} lie 0 mm apart"
    if _same_instance(a, b):
        if _same_bytes(a, b):
            reason += "; they are byte copies of one file"
            hint = "remove the copies"
        else:
            reason += "; they carry the same SOPInstanceUID with different content"
    elif beside <= _SAME_MM:
        reason += ", and no time, acquisition, echo or direction tells all such slices apart"
        places = planes - len(pairs)
        if places > 1 and planes % places == 0:
            hint = (
                f"{planes} slices in {places} places, as of {planes // places} times or weightings that InstanceNumber "
                "alone would tell apart: it decides nothing here; export the series with its other tags"
            )
    count = f" ({len(pairs)} such pairs)" if len(pairs) > 1 else ""
    return InputError(reason + count, path=b.path, code="slices", hint=hint)


def _same_instance(a: Frame, b: Frame) -> bool:
    return bool(a.instance) and a.instance == b.instance and a.path != b.path


def _same_bytes(a: Frame, b: Frame) -> bool:
    try:
        return filecmp.cmp(a.path, b.path, shallow=False)
    except OSError:
        return False
