"""Resampling to another voxel size: one linear interpolation along the scan's own axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.files import MAX_VOXELS
from medssl.volume import Volume, spacing_of

TOLERANCE = 1e-4
"""Relative difference of voxel sizes below which voxels are left as they are."""


def resample(volume: Volume, spacing_mm: tuple[float, float, float], labels: bool = False) -> Volume:
    """A volume with voxels of another size, about the same centre and along the same axes.

    The axes keep their directions, also where the scan is oblique or sheared, so the map from new to old voxel
    indices is a stretch of each axis by itself and the interpolation is exact: the affine is the index-to-mm map of
    the voxels that are returned. Voxels beyond the outermost centres repeat the edge.

    Args:
        volume: voxels ``(C, i, j, k)``.
        spacing_mm: the new distance of voxels along i, j and k.
        labels: nearest voxel instead of linear interpolation; the type is kept.

    Raises:
        InputError: there would be more voxels than can be held (``too-large``).

    Example:
        >>> ramp = Volume(np.arange(8.0).reshape(1, 8, 1, 1), np.eye(4))
        >>> resample(ramp, (2.0, 1.0, 1.0)).data.ravel().tolist()
        [0.5, 2.5, 4.5, 6.5]
    """
    old = np.asarray(volume.spacing_mm)
    new = np.asarray(spacing_mm, dtype=np.float64)
    axes = [axis for axis in range(3) if abs(new[axis] / old[axis] - 1) > TOLERANCE]
    if not axes:
        return volume
    lengths = [max(1, round(count * a / b)) for count, a, b in zip(volume.shape, old, new, strict=True)]
    if math.prod(lengths) > MAX_VOXELS:
        size = " x ".join(str(n) for n in lengths)
        reason = f"voxels of {' x '.join(f'{n:g}' for n in new)} mm would make {size} of them, over the size limit"
        raise InputError(f"{reason} of {MAX_VOXELS}", code="too-large", hint="choose a larger spacing")
    step = np.eye(4)
    data: NDArray[Any] = volume.data if labels else volume.data.astype(np.float32, copy=False)
    for axis in axes:
        count = volume.shape[axis]
        stretch = new[axis] / old[axis]
        length = max(1, round(count / stretch))
        step[axis, axis] = stretch
        step[axis, 3] = (count - 1) / 2 - stretch * (length - 1) / 2
        places = step[axis, 3] + stretch * np.arange(length)
        data = (_nearest if labels else _linear)(data, places, axis + 1)
    return Volume(data, volume.affine @ step, volume.flags, dict(volume.tags))


def _linear(data: NDArray[Any], places: NDArray[np.float64], axis: int) -> NDArray[Any]:
    places = np.clip(places, 0, data.shape[axis] - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, data.shape[axis] - 1)
    weight = (places - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(4)])
    below = np.take(data, low, axis)
    above = np.take(data, high, axis)
    above -= below
    above *= weight
    below += above
    return below


def _nearest(data: NDArray[Any], places: NDArray[np.float64], axis: int) -> NDArray[Any]:
    index = np.clip(np.floor(places + 0.5).astype(np.int64), 0, data.shape[axis] - 1)
    return np.take(data, index, axis)


def median_spacing(affines: list[NDArray[np.float64]]) -> tuple[float, float, float]:
    """The median voxel size along each axis, over scans that are in one orientation."""
    i, j, k = np.median([spacing_of(affine) for affine in affines], axis=0)
    # headers keep single precision: 4.000000006 mm is 4 mm
    return round(float(i), 6), round(float(j), 6), round(float(k), 6)
