"""Closed planar contours to voxels by one exact rule: a voxel belongs to a region when its centre lies inside.

Inside is even-odd over all edges of the region's contours in a slice, so that a contour within another one is a hole,
and a channel that is walked twice (a keyhole) has no width. A centre exactly on an edge belongs to the side of the
growing index: regions that share an edge share no voxel and leave none out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SNAP = 6
"""Decimals of a voxel to which contour points are rounded, so that noise of the last digit decides nothing."""


def filled(polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Voxels whose centres lie inside an odd number of times.

    Args:
        polygons: ``(points, 2)`` each, in voxels; voxel ``(a, b)`` has its centre at ``(a, b)``. Each is closed by the
            edge from its last point to its first.
        shape: of the slice.

    Returns:
        Mask of that shape.

    Example:
        >>> square = np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5]])
        >>> filled([square], (4, 4)).astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    out = np.zeros(shape, dtype=np.bool_)
    rounded = [np.round(polygon, SNAP) for polygon in polygons if len(polygon)]
    if not rounded:
        return out
    # nothing outside the contours' box can be inside
    low = np.floor(np.min([points.min(axis=0) for points in rounded], axis=0)).clip(0, shape).astype(np.int64)
    high = np.ceil(np.max([points.max(axis=0) for points in rounded], axis=0) + 1).clip(low, shape).astype(np.int64)
    crossings = np.zeros((high[0] - low[0] + 1, high[1] - low[1]), dtype=np.int32)
    for points in rounded:
        _cross(points - low, np.roll(points, -1, axis=0) - low, crossings)
    # a voxel is inside when an odd number of edges lies beyond it
    beyond = crossings[::-1].cumsum(axis=0)[::-1][1:]
    out[low[0] : high[0], low[1] : high[1]] = beyond % 2 == 1
    return out


def _cross(start: NDArray[np.float64], end: NDArray[np.float64], crossings: NDArray[np.int32]) -> None:
    """Count for every row of centres (second axis) before which voxel (first axis) an edge crosses it."""
    rows, columns = crossings.shape[0] - 1, crossings.shape[1]
    low = np.ceil(np.minimum(start[:, 1], end[:, 1])).clip(0, columns).astype(np.int64)
    high = np.ceil(np.maximum(start[:, 1], end[:, 1])).clip(0, columns).astype(np.int64)
    counts = high - low
    edge = np.repeat(np.arange(len(counts)), counts)
    if not edge.size:
        return
    # lines b with low <= b < high: the lower end of an edge counts, the upper one is the next edge's
    b = low[edge] + np.arange(edge.size) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (b - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    a = start[edge, 0] + share * (end[edge, 0] - start[edge, 0])
    # the voxels below the crossing, a' < a, see it beyond them
    first = np.ceil(np.round(a, SNAP)).clip(0, rows).astype(np.int64)
    np.add.at(crossings, (first, b), 1)


def area(polygon: NDArray[np.float64]) -> float:
    """The area of a polygon ``(points, 2)``.

    Example:
        >>> area(np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 3.0], [0.0, 3.0]]))
        6.0
    """
    a, b = polygon.T
    return abs(float(a @ np.roll(b, -1) - b @ np.roll(a, -1))) / 2
