"""Stored voxels of a box of a scan, with all that sampling a grid from them needs: no file, no store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.views.grid import Array, Grid
from medssl.views.warp import Warp

EDGE = 1e-4
"""Voxels by which a centre may pass the scan's edge through rounding and still be inside."""

WHOLE = 1e-5
"""Voxels by which a grid may miss the stored voxels and still be a copy of them."""

FINEST = 2.0**32
"""Parts of a voxel to which a map is rounded: two flips of a grid are none, though sums of floats may differ."""

Voxel = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Block:
    """Stored voxels of a box.

    Args:
        data: ``(C, i, j, k)`` of any type of numbers, in any memory layout; a memory map is read where it is needed.
            A tensor where it lies on an accelerator.
        low: the box's first voxel in the scan.
        shape: voxels of the whole scan.
        affine: of the scan, voxel index to millimetres.
        gain: ``clip(stored · gain + bias, 0, 1)`` is the network's value: one number, or one a channel.
        bias: see ``gain``.
        label: ``(1, i, j, k)`` labels of the same box, or None.
    """

    data: Any
    low: Voxel
    shape: Voxel
    affine: Array
    gain: float | NDArray[Any]
    bias: float | NDArray[Any]
    label: Any = None

    def map_to_network(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``gain`` and ``bias`` as ``(C,)`` float32."""
        channels = self.data.shape[0]
        gain, bias = (np.broadcast_to(np.asarray(x, dtype=np.float64), channels) for x in (self.gain, self.bias))
        return gain.astype(np.float32), bias.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Places:
    """Where a view's voxels lie in a block.

    Args:
        into: 3×4, view voxel index to voxels counted from the block's first.
        least: ``(3,)`` smallest place that is inside the scan.
        most: ``(3,)`` largest one.
        control: ``(3, a, b, c)`` displacements of control points in voxels of the block, or None.
    """

    into: Array
    least: Array
    most: Array
    control: Array | None


def places(grid: Grid, block: Block) -> Places:
    """Where a grid's voxels lie in a block.

    Raises:
        ValueError: the block lacks voxels that the grid needs.
    """
    low, high = box_of(grid, block.affine, block.shape)
    size = block.data.shape[1:]
    ends = [a + n for a, n in zip(block.low, size, strict=True)]
    if any(a < b for a, b in zip(low, block.low, strict=True)) or any(a > b for a, b in zip(high, ends, strict=True)):
        raise ValueError(f"the grid needs voxels {low} to {high}, the block holds {block.low} to {tuple(ends)}")
    into = into_scan(grid, block.affine)[:3].copy()
    into[:, 3] -= block.low
    # one map, come about in two ways, gives the same voxels bit for bit
    into = np.rint(into * FINEST) / FINEST
    first = np.asarray(block.low, dtype=np.float64)
    control = None if grid.warp is None else _in_voxels(grid.warp, block.affine)
    return Places(into, -0.5 - EDGE - first, np.asarray(block.shape) - 0.5 + EDGE - first, control)


def into_scan(grid: Grid, affine: Array) -> Array:
    """4×4, view voxel index to the scan's voxels."""
    out: Array = _inverse(np.asarray(affine, dtype=np.float64).tobytes()) @ grid.affine
    return out


@lru_cache(maxsize=4096)
def _inverse(affine: bytes) -> Array:
    """Of a 4×4: a scan's is asked for several times a view."""
    out: Array = np.linalg.inv(np.frombuffer(affine, dtype=np.float64).reshape(4, 4)).astype(np.float64, copy=False)
    out.flags.writeable = False
    return out


def box_of(grid: Grid, affine: Array, shape: Voxel) -> tuple[Voxel, Voxel]:
    """The stored voxels that a grid needs: the first, and one past the last, along each axis.

    At least one voxel, also where the grid lies outside of the scan.

    Example:
        >>> box_of(Grid.of((4, 4, 4), np.diag([0.5, 1.0, 1.0, 1.0])), np.eye(4), (8, 8, 3))
        ((0, 0, 0), (3, 4, 3))
    """
    into = into_scan(grid, affine)
    spans = into[:3, :3] * (np.asarray(grid.shape) - 1)
    least, most = into[:3, 3] + np.minimum(spans, 0).sum(axis=1), into[:3, 3] + np.maximum(spans, 0).sum(axis=1)
    if grid.warp is not None:
        # a spline stays within its control points
        moves = _in_voxels(grid.warp, affine).reshape(3, -1)
        least, most = least + moves.min(axis=1), most + moves.max(axis=1)
    top = np.asarray(shape) - 1
    # a hair beyond a whole voxel is that voxel, come through rounding
    i, j, k = (int(n) for n in np.clip(np.floor(least + 1e-9), 0, top))
    di, dj, dk = (int(n) + 1 for n in np.clip(np.ceil(most - 1e-9), 0, top))
    return (i, j, k), (di, dj, dk)


def box_around(grids: Sequence[Grid], affine: Array, shape: Voxel) -> tuple[Voxel, Voxel]:
    """The stored voxels that several grids need together."""
    boxes = np.asarray([box_of(grid, affine, shape) for grid in grids])
    (i, j, k), (di, dj, dk) = boxes[:, 0].min(axis=0).tolist(), boxes[:, 1].max(axis=0).tolist()
    return (i, j, k), (di, dj, dk)


@dataclass(frozen=True)
class Steps:
    """A grid that falls on stored voxels.

    Args:
        axes: for each view axis the stored one.
        signs: for each view axis, -1 where it runs against the stored one.
        start: for each stored axis, the voxel of the view's first.
    """

    axes: Voxel
    signs: Voxel
    start: Voxel

    def inside(self, shape: Voxel, scan: Voxel) -> tuple[tuple[slice, slice, slice], Voxel, Voxel]:
        """Which voxels of a view lie in the scan, and the scan's box that they are (empty where there are none)."""
        low, high, found = [0, 0, 0], [0, 0, 0], []
        for view, (axis, sign) in enumerate(zip(self.axes, self.signs, strict=True)):
            count, first = scan[axis], self.start[axis]
            # view voxel v is the stored voxel first + sign·v
            begin = max(0, -first if sign > 0 else first - count + 1)
            end = max(begin, min(shape[view], count - first if sign > 0 else first + 1))
            found.append(slice(begin, end))
            ends = sorted((first + sign * begin, first + sign * (end - 1)))
            low[axis], high[axis] = ends[0], ends[1] + 1
        return (found[0], found[1], found[2]), (low[0], low[1], low[2]), (high[0], high[1], high[2])


def steps_of(grid: Grid, affine: Array) -> Steps | None:
    """How a grid falls on stored voxels, or None where it does not."""
    into = into_scan(grid, affine)
    whole = np.rint(into)
    if grid.warp is not None or (np.abs(into - whole)[:3] @ [*grid.shape, 1]).max() > WHOLE:
        return None
    turn = np.abs(whole[:3, :3])
    if (turn.sum(axis=0) != 1).any() or (turn.sum(axis=1) != 1).any():
        return None
    i, j, k = (int(turn[:, view].argmax()) for view in range(3))
    si, sj, sk = (int(whole[axis, view]) for view, axis in enumerate((i, j, k)))
    a, b, c = (int(value) for value in whole[:3, 3])
    return Steps((i, j, k), (si, sj, sk), (a, b, c))


def _in_voxels(warp: Warp, affine: Array) -> Array:
    out: Array = np.einsum("ab,bijk->aijk", np.linalg.inv(affine)[:3, :3], warp.points)
    return out
