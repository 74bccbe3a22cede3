"""Kept slices: the ``slices`` column of a reduced manifest as places in the stored scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.volume import axes_of

HEAD = 2
"""Slices are axial: counted from feet to head in RAS order, as reduction counts them, before any resampling."""


@dataclass(frozen=True)
class Kept:
    """Slices of a stored scan that may be used.

    Args:
        axis: the stored axis that runs through the slices: 0, 1 or 2.
        positions: stored voxel positions along it, rising.
    """

    axis: int
    positions: tuple[int, ...]


def parse_slices(text: str) -> tuple[int, ...]:
    """Slice numbers of ``"0-4,7"``.

    Raises:
        InputError: anything else.

    Example:
        >>> parse_slices("0-2,7")
        (0, 1, 2, 7)
    """
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise InputError(f"slices read like 0-4,7, got {text!r}", code="manifest-format")
        found.update(range(int(first), int(last if dash else first) + 1))
    return tuple(sorted(found))


def kept_slices(
    slices: tuple[int, ...],
    original: NDArray[np.float64],
    original_shape: tuple[int, int, int],
    stored: NDArray[np.float64],
    stored_shape: tuple[int, int, int],
) -> Kept:
    """Where kept slices lie in the stored scan: the stored positions nearest to one of them.

    Args:
        slices: numbers of axial slices from feet to head, as the scan was read.
        original: its affine.
        original_shape: its voxels along i, j and k.
        stored: the stored affine.
        stored_shape: the stored voxels.

    Raises:
        InputError: a slice that the scan does not have, or none.

    Example:
        >>> kept_slices((0, 2), np.eye(4), (4, 4, 8), np.diag([1.0, 1.0, 2.0, 1.0]), (4, 4, 4))
        Kept(axis=2, positions=(0, 1))
    """
    through, sign = next((axis, sign) for axis, (world, sign) in enumerate(axes_of(original)) if world == HEAD)
    count = original_shape[through]
    if not slices or slices[-1] >= count:
        raise InputError(f"slices must be among 0 to {count - 1}, got {list(slices[-3:])}", code="manifest-check")
    # both grids share their axes' directions, so one stored axis alone runs through the slices
    row = (np.linalg.inv(original) @ stored)[through]
    axis = int(np.argmax(np.abs(row[:3])))
    places = row[axis] * np.arange(stored_shape[axis]) + row[3]
    places = places if sign > 0 else count - 1 - places
    apart = np.abs(places[:, None] - np.asarray(slices, dtype=np.float64))
    # a stored slice counts when it lies nearer to a kept slice than to any other, or nearest to it of all
    near = set(np.flatnonzero(apart.min(axis=1) <= 0.5 + 1e-6).tolist()) | set(apart.argmin(axis=0).tolist())
    return Kept(axis, tuple(sorted(near)))
