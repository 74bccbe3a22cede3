"""The lowest and highest voxel in one pass over memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLAB = 1 << 17
"""Voxels looked at together: few enough to be still in the processor's cache when looked at again."""


def extremes(data: NDArray[Any]) -> tuple[Any, Any]:
    """Lowest and highest value, NaN where there is one.

    Two passes over a slab that is in the cache cost about one over memory. As NaN spreads and infinity is the most
    extreme of all, both are finite only where every voxel is.

    Example:
        >>> [int(value) for value in extremes(np.arange(-3, 21).reshape(1, 2, 3, 4))]
        [-3, 20]
    """
    found = [(slab.min(), slab.max()) for slab in slabs(data)]
    return np.min([low for low, _ in found]), np.max([high for _, high in found])


def slabs(data: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Views that part an array into pieces which lie together in memory.

    Example:
        >>> [piece.shape for piece in slabs(np.zeros((1, 300, 256, 4), order="F"))]
        [(1, 300, 256, 1), (1, 300, 256, 1), (1, 300, 256, 1), (1, 300, 256, 1)]
    """
    axis = max(range(data.ndim), key=lambda n: (abs(data.strides[n]) if data.shape[n] > 1 else 0, -n))
    step = max(1, _SLAB * data.shape[axis] // max(data.size, 1))
    moved = np.moveaxis(data, axis, 0)
    for start in range(0, data.shape[axis], step):
        yield np.moveaxis(moved[start : start + step], 0, axis)
