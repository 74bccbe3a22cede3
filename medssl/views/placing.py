"""Where a crop may start: inside the scan, centred on kept slices, with enough of the body in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medssl.views.grid import Array, Grid
from medssl.views.view import Scan

TRIES = 16
"""Draws before a crop with too little of the body in it is moved."""

Shape = tuple[int, int, int]


def crop_at(scan: Scan, edge: Array, step: Array, shape: Shape) -> Grid:
    """A grid along the stored axes.

    Args:
        scan: the scan.
        edge: ``(3,)`` where the crop begins, in stored voxels from the scan's outer edge (0 is half a voxel before
            the first centre).
        step: ``(3,)`` stored voxels per view voxel.
        shape: voxels of the view.

    Example:
        >>> scan = Scan((8, 8, 8), np.eye(4), np.array([[0, 0, 0], [8, 8, 8]]), {})
        >>> crop_at(scan, np.array([2.0, 0.0, 0.0]), np.ones(3), (4, 4, 4)).affine[:3, 3].tolist()
        [2.0, 0.0, 0.0]
    """
    inner = np.eye(4)
    inner[:3, :3] = np.diag(step)
    inner[:3, 3] = edge + step / 2 - 0.5
    return Grid.of(shape, scan.affine @ inner)


def draw_edge(scan: Scan, shape: Shape, step: Array, rng: np.random.Generator) -> Array:
    """Where a crop begins, uniform over the places in the scan; see ``crop_at``.

    Along an axis on which the crop is longer than the scan it is centred, and padded on both sides. At the stored
    voxel size a crop begins on a whole voxel, so that it is copied and not interpolated. Where the scan has kept
    slices, the crop's middle voxel lies on one of them: on one that leaves the crop inside the scan where there is
    one, else the crop is moved into the scan.
    """
    extent = np.asarray(shape) * step
    out = np.empty(3)
    for axis in range(3):
        room = scan.shape[axis] - extent[axis]
        if step[axis] == 1.0:
            out[axis] = np.floor(room / 2) if room <= 0 else rng.integers(0, int(room) + 1)
        else:
            out[axis] = room / 2 if room <= 0 else rng.uniform(0, room)
    kept = scan.kept
    if kept is not None and scan.shape[kept.axis] > extent[kept.axis]:
        out[kept.axis] = _edge_on_kept(scan, shape, step, kept.axis, kept.positions, rng)
    return out


def _edge_on_kept(
    scan: Scan, shape: Shape, step: Array, axis: int, positions: tuple[int, ...], rng: np.random.Generator
) -> float:
    room = float(scan.shape[axis] - shape[axis] * step[axis])
    edges = np.asarray([middle_edge(position, shape[axis], float(step[axis])) for position in positions])
    inside = edges[(edges >= 0) & (edges <= room)]
    return float(np.clip(rng.choice(inside if inside.size else edges), 0, room))


def middle_edge(position: float, count: int, step: float) -> float:
    """Where a crop begins along an axis so that its middle voxel (``count // 2``) lies on a stored position."""
    return position - (count // 2) * step + (0.5 - step / 2 if step != 1.0 else 0.0)


def body_share(scan: Scan, edge: Array, extent: Array) -> float:
    """Share of a crop that lies in the body, of what could lie in it: the body's mask counts, else its box."""
    if scan.mask is not None:
        return scan.mask.within(edge, edge + extent) / max(1e-9, min(float(np.prod(extent)), scan.mask.voxels))
    low, high = scan.body.astype(np.float64)
    shared = np.clip(np.minimum(edge + extent, high) - np.maximum(edge, low), 0.0, None)
    best = np.minimum(extent, high - low)
    return float(np.prod(shared / best))


def draw_in_body(scan: Scan, shape: Shape, step: Array, share: float, rng: np.random.Generator) -> Array:
    """``draw_edge``, drawn again until ``body_share`` reaches ``share``; after ``TRIES`` moved onto the body.

    What is moved keeps its place along the axis of kept slices.
    """
    extent = np.asarray(shape) * step
    for _ in range(TRIES):
        edge = draw_edge(scan, shape, step, rng)
        if body_share(scan, edge, extent) >= share:
            return edge
    low, high = scan.body.astype(np.float64)
    onto = np.clip(edge, np.minimum(low, high - extent), np.maximum(low, high - extent))
    room = np.asarray(scan.shape) - extent
    kept = scan.kept
    free = [axis for axis in range(3) if room[axis] > 0 and (kept is None or axis != kept.axis)]
    # a body at the scan's edge may ask for a place outside of it
    edge[free] = np.clip(onto, 0.0, np.maximum(room, 0.0))[free]
    return edge


def around(scan: Scan, point: NDArray[np.int64], shape: Shape, step: Array) -> Array:
    """Where a crop begins whose middle voxel lies on a stored voxel; moved into the scan where it fits there."""
    out = np.empty(3)
    for axis in range(3):
        room = scan.shape[axis] - shape[axis] * step[axis]
        edge = middle_edge(float(point[axis]), shape[axis], float(step[axis]))
        centred = np.floor(room / 2) if step[axis] == 1.0 else room / 2
        out[axis] = centred if room <= 0 else min(max(edge, 0.0), room)
    return out


def uniform_scale(scale: tuple[float, float], rng: np.random.Generator) -> float:
    """A zoom between two bounds, uniform in its logarithm."""
    low, high = scale
    return low if low == high else float(np.exp(rng.uniform(np.log(low), np.log(high))))
