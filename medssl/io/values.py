"""Voxel values that can be used: finite, not extreme, not constant; labels that are whole numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.extremes import extremes
from medssl.volume import Volume, reorient

MAX_MAGNITUDE = 1e30
"""Beyond this a variance overflows float32."""

LABEL_TOLERANCE = 1e-3
"""Largest difference of an affine's element, in mm, between a label map and its image."""


def checked(volume: Volume, path: Path, nan_fill: float | None = None, constant: bool = False) -> Volume:
    """The volume, if its values can be used.

    Args:
        volume: what a reader gave.
        path: the file, for messages.
        nan_fill: put in the place of NaN and infinity, which are refused otherwise.
        constant: accept a volume whose voxels are all equal (an empty label map).

    Raises:
        InputError: ``values``.
    """
    data, flags = volume.data, volume.flags
    low, high = extremes(data)
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(data.size - np.isfinite(data).sum())
        if bad == data.size:
            raise InputError("no voxel is finite: all are NaN or Inf", path=path, code="values")
        if nan_fill is None:
            raise InputError(
                f"{bad} of {data.size} voxels are not finite (NaN or Inf)",
                path=path,
                code="values",
                hint="--nan fill=V puts a value V in their place",
            )
        data = np.where(np.isfinite(data), data, data.dtype.type(nan_fill))
        flags = (*flags, f"nan_filled:{bad}")
        low, high = extremes(data)
    if max(abs(float(low)), abs(float(high))) > MAX_MAGNITUDE:
        raise InputError(
            f"extreme values: range {float(low):.3g} to {float(high):.3g} overflows, at most ±{MAX_MAGNITUDE:.0e}",
            path=path,
            code="values",
        )
    if low == high and not constant:
        empty = " (an empty image)" if low == 0 else ""
        raise InputError(f"every voxel is {float(low):g}: the volume is constant{empty}", path=path, code="values")
    return Volume(data, volume.affine, flags, volume.tags)


def scaled(raw: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """``raw * slope + intercept``, kept whole where both are whole, else float32 (float64 where that is too coarse).

    Example:
        >>> scaled(np.array([0, 1000], dtype=np.uint16), 1.0, -1024.0)
        array([-1024,   -24], dtype=int16)
    """
    if slope == 1 and intercept == 0:
        return raw
    if raw.dtype.kind in "iu" and slope == 1 and float(intercept).is_integer() and abs(intercept) < 2**31:
        shift = int(intercept)
        low, high = int(raw.min()) + shift, int(raw.max()) + shift
        for kind in (np.int16, np.int32):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                # the raw values may not fit the narrow kind before the shift
                return (raw.astype(np.int64 if raw.itemsize > 2 else np.int32) + shift).astype(kind)
    narrow = raw.dtype.kind in "iu" and raw.itemsize <= 2 and abs(intercept) <= abs(slope) * 2**20
    wide = raw.astype(np.float32 if narrow else np.float64)
    np.multiply(wide, slope, out=wide)
    np.add(wide, intercept, out=wide)
    return wide if narrow else _narrowed(wide)


def _narrowed(wide: NDArray[Any]) -> NDArray[Any]:
    """As float32, where its rounding is far below the range of the values."""
    low, high = float(np.nanmin(wide)), float(np.nanmax(wide))
    step = max(abs(low), abs(high)) * 2.0**-24
    return wide.astype(np.float32) if step <= 1e-4 * (high - low) and max(abs(low), abs(high)) < 3e38 else wide


def as_label(volume: Volume, path: Path) -> Volume:
    """The volume with whole numbers: uint8 where they fit, else int32.

    Raises:
        InputError: ``label``, when a value is not a whole number or there are several channels.
    """
    data = volume.data
    if data.shape[0] != 1:
        raise InputError(f"a label map has one channel, got {data.shape[0]}", path=path, code="label")
    if data.dtype.kind == "f":
        off = int((data != np.rint(data)).sum())
        if off:
            raise InputError(f"{off} voxels of the label map are not whole numbers", path=path, code="label")
    low, high = int(data.min()), int(data.max())
    if low < np.iinfo(np.int32).min or high > np.iinfo(np.int32).max:
        raise InputError(f"label values reach from {low} to {high}", path=path, code="label")
    kind = np.uint8 if low >= 0 and high <= 255 else np.int32
    return Volume(data.astype(kind), volume.affine, volume.flags, volume.tags)


def fitted(label: Volume, like: Volume, path: Path) -> Volume:
    """The label map in the image's storage order; its geometry must be the image's.

    Axes may be stored flipped or permuted (as between DICOM and NIfTI); the place of every voxel must agree.

    Raises:
        InputError: ``label``, with both shapes or the largest difference in mm.
    """
    label = reorient(label, like.orientation)
    if label.shape != like.shape:
        raise InputError(f"the label map has {label.shape} voxels, its image {like.shape}", path=path, code="label")
    off = float(np.abs(label.affine - like.affine).max())
    if off > LABEL_TOLERANCE:
        raise InputError(
            f"the label map's affine differs from its image's by {off:.4g} mm (at most {LABEL_TOLERANCE} mm)",
            path=path,
            code="label",
        )
    return Volume(np.ascontiguousarray(label.data), like.affine, label.flags, label.tags)
