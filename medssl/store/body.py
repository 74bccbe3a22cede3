"""Where the body is: the box of what stands out from the background."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 256
LEAST_SHARE = 1e-3
"""A slice belongs to the body when at least this share of its voxels stands out: single noisy voxels do not count."""


def body_box(data: NDArray[Any]) -> NDArray[np.int64]:
    """First and one past the last voxel of the body along each axis.

    A voxel stands out when its value is above Otsu's threshold (IEEE Trans. SMC 9:62, 1979) of the values between
    the 0.5th and the 99.5th percentile. A scan in which nothing stands out is all body.

    Args:
        data: voxels ``(C, i, j, k)``; the channels' maximum counts.

    Returns:
        ``(2, 3)`` int64.

    Example:
        >>> scan = np.zeros((1, 8, 8, 8)); scan[0, 2:5, 1:7, 3:4] = 100.0
        >>> body_box(scan).tolist()
        [[2, 1, 3], [5, 7, 4]]
    """
    values = data.max(axis=0) if data.shape[0] > 1 else data[0]
    above = values > otsu(values)
    low, high = np.zeros(3, dtype=np.int64), np.asarray(values.shape, dtype=np.int64)
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        share = above.mean(axis=others)
        hit = np.flatnonzero(share >= LEAST_SHARE)
        if hit.size == 0:
            return np.stack([np.zeros(3, dtype=np.int64), np.asarray(values.shape, dtype=np.int64)])
        low[axis], high[axis] = hit[0], hit[-1] + 1
    return np.stack([low, high])


def otsu(values: NDArray[Any]) -> float:
    """The threshold that parts a histogram into the two most compact classes.

    Example:
        >>> 0 <= otsu(np.array([0.0] * 50 + [10.0] * 50)) < 10
        True
    """
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.5)))
    if not high > low:
        low, high = float(values.min()), float(values.max())
    if not high > low:
        return high
    counts, edges = np.histogram(np.clip(values, low, high), bins=BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    beyond = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * beyond * (sums[:-1] / below - (sums[-1] - sums[:-1]) / beyond) ** 2
    return float(edges[1:-1][int(np.argmax(np.nan_to_num(between)))])
