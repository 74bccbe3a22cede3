"""Stored pixels to real values by table or by slope and intercept; nothing wraps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.io.dicom.frame import Frame

_WHOLE = {"int16": 16, "int32": 32, "int64": 64}


def rescaled(stored: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Real values of one image plane.

    Args:
        stored: the decoded picture ``(rows, columns)`` of shape ``frame.stored_shape``, with its unused bits cleared.
        frame: the plane. Of a picture that holds several planes side by side (a mosaic) the plane's own part is cut.

    Returns:
        Values ``frame.shape``. Whole numbers stay whole where slope and intercept are: as they were stored without
        either, else in the narrowest of int16, int32, int64 that holds them. All else is float32, rounded once.
    """
    plane = stored if frame.tile is None else frame.tile.cut(stored, frame.shape)
    if frame.table is not None:
        return frame.table(plane)
    return linear(plane, *frame.rescale)


def linear(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """``stored * slope + intercept``.

    Example:
        >>> linear(np.array([0, 65535], dtype=np.uint16), 1.0, -1024.0)
        array([-1024, 64511], dtype=int32)
        >>> linear(np.array([3], dtype=np.int8), 0.5, 1.0)
        array([2.5], dtype=float32)
    """
    if slope == 1 and intercept == 0:
        return stored
    if stored.dtype.kind in "iu" and stored.size and float(slope).is_integer() and float(intercept).is_integer():
        whole = _whole(stored, int(slope), int(intercept))
        if whole is not None:
            return whole
    wide = stored.astype(np.float64)
    np.multiply(wide, slope, out=wide)
    np.add(wide, intercept, out=wide)
    return wide.astype(np.float32)


def _whole(stored: NDArray[Any], slope: int, intercept: int) -> NDArray[Any] | None:
    ends = int(stored.min()) * slope + intercept, int(stored.max()) * slope + intercept
    for name, bits in _WHOLE.items():
        if min(ends) >= -(1 << bits - 1) and max(ends) < 1 << bits - 1:
            # what overflows on the way comes round again: the sum is exact in its last bits, and it fits in them
            mask = (1 << bits) - 1
            plain = stored.astype(f"u{name}")
            plain *= plain.dtype.type(slope & mask)
            plain += plain.dtype.type(intercept & mask)
            return plain.view(name)
    return None
