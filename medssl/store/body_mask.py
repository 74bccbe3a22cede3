"""The body as a coarse mask: which cells of a few voxels belong to it, and how much of a box it fills."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medssl.store.body import otsu

CELL = 4
"""Edge of a cell, in stored voxels."""

STANDS_OUT = 0.25
"""Share of a cell's voxels above the threshold from which on it may be body."""

PIECE = 0.02
"""Pieces below this share of the largest one are taken for noise, table or labels."""


def body_cells(data: NDArray[Any]) -> NDArray[np.bool_]:
    """The cells of the body: large connected pieces of what stands out, their holes filled slice by slice.

    Args:
        data: voxels ``(C, i, j, k)``; the channels' maximum counts.

    Returns:
        ``(i, j, k)`` cells of ``CELL`` voxels, the last of an axis perhaps shorter. All True where nothing stands out.

    Example:
        >>> scan = np.zeros((1, 16, 16, 8)); scan[0, 4:12, 4:12] = 100.0; scan[0, 6:10, 6:10] = 0.0
        >>> body_cells(scan)[:, :, 0].astype(int).tolist()
        [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    values = data.max(axis=0) if data.shape[0] > 1 else data[0]
    share = _shares(values > otsu(values))
    stands = share >= STANDS_OUT
    pieces, count = ndimage.label(stands)
    if not count:
        return np.ones(share.shape, dtype=np.bool_)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    body: NDArray[np.bool_] = (sizes >= PIECE * sizes.max())[pieces] & stands
    for axis in range(3):
        for one in np.moveaxis(body, axis, 0):
            one[...] = ndimage.binary_fill_holes(one)
    return body


def _shares(above: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of every cell."""
    out: NDArray[Any] = above
    for axis in range(3):
        starts = np.arange(0, above.shape[axis], CELL)
        counts = np.diff(np.append(starts, above.shape[axis]))
        sums = np.add.reduceat(out, starts, axis=axis, dtype=np.float64)
        out = sums / counts.reshape([-1 if n == axis else 1 for n in range(3)])
    return out


@dataclass(frozen=True, eq=False)
class BodyMask:
    """The cells of a scan's body.

    Args:
        cells: of ``body_cells``.
        shape: voxels of the scan.
    """

    cells: NDArray[np.bool_]
    shape: tuple[int, int, int]

    @cached_property
    def _sums(self) -> NDArray[np.float64]:
        """Voxels of body before every corner of the cells."""
        weights = self.cells.astype(np.float64)
        for axis, length in enumerate(self.shape):
            edges = np.minimum(np.arange(self.cells.shape[axis] + 1) * CELL, length)
            weights = weights * np.diff(edges).reshape([-1 if n == axis else 1 for n in range(3)])
        out = np.zeros([n + 1 for n in self.cells.shape])
        out[1:, 1:, 1:] = weights.cumsum(0).cumsum(1).cumsum(2)
        return out

    @property
    def voxels(self) -> float:
        """Voxels of the whole body."""
        return float(self._sums[-1, -1, -1])

    def within(self, low: NDArray[Any], high: NDArray[Any]) -> float:
        """Voxels of body in a box given by its edges, counted from the scan's outer edge; fractions count in part."""
        found = self._sums
        # the sum before every corner of the box, with the sign of the corner: one axis after the other
        for axis in range(3):
            first, first_share = self._before(float(low[axis]), axis)
            last, last_share = self._before(float(high[axis]), axis)
            until = found[last + 1] * last_share + found[last] * (1 - last_share)
            found = until - found[first + 1] * first_share - found[first] * (1 - first_share)
        return max(0.0, float(found))

    def _before(self, edge: float, axis: int) -> tuple[int, float]:
        """The cell that an edge lies in, and its share that lies before the edge."""
        cell = min(max(int(edge // CELL), 0), self.cells.shape[axis] - 1)
        width = min(CELL, self.shape[axis] - cell * CELL)
        return cell, min(max((edge - cell * CELL) / width, 0.0), 1.0)
