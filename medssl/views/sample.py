"""Voxels of a grid: read from the store and interpolated once, straight into the network's range."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medssl.store.entry import Voxels
from medssl.store.store import Store
from medssl.views.grid import Array, Grid, apply

WHOLE = 1e-5
"""Voxels by which a grid may miss the stored voxels and still be a copy of them."""

EDGE = 1e-4
"""Voxels by which a centre may pass the scan's edge through rounding and still be inside."""

Sampled = tuple[Tensor, Tensor, Tensor | None]


def sample(store: Store, position: int, grid: Grid, label: bool = False) -> Sampled:
    """The voxels of a grid.

    Values are interpolated trilinearly between the stored integers, once, then mapped to
    ``clip((v − low) / (high − low), 0, 1)``. A voxel is valid when its centre lies in the box of the scan's voxels
    (half a voxel beyond the outermost centres, where the edge is repeated); elsewhere the image is 0. Labels are
    those of the nearest voxel. A grid that falls on the stored voxels, also flipped or with axes exchanged, copies
    them without interpolation.

    Args:
        store: the store.
        position: which scan.
        grid: where the voxels lie, in millimetres.
        label: whether the label map is wanted.

    Returns:
        Image ``(C, i, j, k)`` float32, valid ``(1, i, j, k)`` bool, label ``(1, i, j, k)`` int64 (-1 where not
        valid) or None.

    Raises:
        InputError: ``store-corrupt``; or ``label`` where there is no label map.
    """
    voxels = store.entry(position).voxels
    into = np.linalg.inv(voxels.affine) @ grid.affine
    steps = _steps(into) if grid.displacement is None else None
    if steps is not None:
        return _copy(store, position, voxels, steps, grid.shape, label)
    return _interpolate(store, position, voxels, _places(grid, into, voxels), label)


@dataclass(frozen=True)
class _Steps:
    """A grid that falls on stored voxels: for each view axis the stored axis and its sign, and the first voxel."""

    axes: tuple[int, ...]
    signs: tuple[int, ...]
    start: tuple[int, ...]


def _steps(into: Array) -> _Steps | None:
    whole = np.rint(into)
    if np.abs(into - whole).max() > WHOLE or (np.abs(whole[:3, :3]).sum(axis=0) != 1).any():
        return None
    if (np.abs(whole[:3, :3]).sum(axis=1) != 1).any():
        return None
    axes = tuple(int(np.argmax(np.abs(whole[:3, view]))) for view in range(3))
    signs = tuple(int(whole[axis, view]) for view, axis in enumerate(axes))
    return _Steps(axes, signs, tuple(int(value) for value in whole[:3, 3]))


def _copy(
    store: Store, position: int, voxels: Voxels, steps: _Steps, shape: tuple[int, int, int], label: bool
) -> Sampled:
    low, high = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    inside: list[slice] = [slice(0, 0)] * 3
    for view, (axis, sign) in enumerate(zip(steps.axes, steps.signs, strict=True)):
        count, first = voxels.shape[axis + 1], steps.start[axis]
        # view voxel v is the stored voxel first + sign·v
        begin = max(0, -first if sign > 0 else first - count + 1)
        end = min(shape[view], count - first if sign > 0 else first + 1)
        inside[view] = slice(begin, max(begin, end))
        ends = sorted((first + sign * begin, first + sign * (end - 1)))
        low[axis], high[axis] = ends[0], ends[1] + 1
    image = torch.zeros((voxels.shape[0], *shape))
    valid = torch.zeros((1, *shape), dtype=torch.bool)
    mask = torch.full((1, *shape), -1, dtype=torch.int64) if label else None
    if all(part.stop > part.start for part in inside):
        place = (slice(None), *inside)
        image[place] = _normalize(
            _turned(store.read(position, low.tolist(), high.tolist()), steps, torch.float32), voxels
        )
        valid[place] = True
        if mask is not None:
            mask[place] = _turned(store.read_label(position, low.tolist(), high.tolist()), steps, torch.int64)
    elif label:
        store.read_label(position, (0, 0, 0), (1, 1, 1))  # a missing label map is an error wherever the grid lies
    return image, valid, mask


def _turned(box: NDArray[Any], steps: _Steps, dtype: torch.dtype) -> Tensor:
    turned = box.transpose(0, *(axis + 1 for axis in steps.axes))
    turned = turned[(slice(None), *(slice(None, None, sign) for sign in steps.signs))]
    kind = np.float32 if dtype == torch.float32 else np.int64
    return torch.from_numpy(np.ascontiguousarray(turned, dtype=kind))


def _normalize(stored: Tensor, voxels: Voxels) -> Tensor:
    """Stored integers, or what lies between them, in the network's range."""
    width = voxels.high - voxels.low
    return stored.mul_(voxels.scale / width).add_((voxels.offset - voxels.low) / width).clamp_(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class _Places:
    """Where view voxels lie: ``(i, j, k, 3)`` float32 stored voxels from ``low``, in the box that ends at ``high``."""

    index: Tensor
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    valid: Tensor


def _places(grid: Grid, into: Array, voxels: Voxels) -> _Places:
    count = np.asarray(voxels.shape[1:])
    corners = apply(into, np.array(list(itertools.product(*((0, n - 1) for n in grid.shape)))))
    moved = None
    if grid.displacement is not None:
        linear = np.linalg.inv(voxels.affine)[:3, :3]
        moved = np.einsum("ab,bijk->ijka", linear, grid.displacement.astype(np.float64))
        reach = moved.reshape(-1, 3)
        corners = np.concatenate([corners + reach.min(axis=0), corners + reach.max(axis=0)])
    low = np.clip(np.floor(corners.min(axis=0)), 0, count - 1).astype(np.int64)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, count - 1).astype(np.int64) + 1
    # single precision is enough once counted from the box's corner: 1e-7 of a few hundred voxels
    origin = torch.from_numpy((into[:3, 3] - low).astype(np.float32))
    rows = [
        torch.from_numpy((np.arange(n)[:, None] * into[:3, axis]).astype(np.float32))
        for axis, n in enumerate(grid.shape)
    ]
    index = (rows[0] + origin)[:, None, None] + rows[1][:, None] + rows[2]
    if moved is not None:
        index = index + torch.from_numpy(moved.astype(np.float32))
    least = torch.from_numpy((-0.5 - EDGE - low).astype(np.float32))
    most = torch.from_numpy((count - 0.5 + EDGE - low).astype(np.float32))
    return _Places(index, low, high, ((index >= least) & (index <= most)).all(dim=-1)[None])


def _interpolate(store: Store, position: int, voxels: Voxels, places: _Places, label: bool) -> Sampled:
    box = torch.from_numpy(store.read(position, places.low.tolist(), places.high.tolist()).astype(np.float32))
    sizes = torch.tensor(box.shape[1:], dtype=torch.float32)
    # grid_sample counts the last axis first, from -1 at the first voxel's centre to 1 at the last one's
    scaled = torch.where(sizes > 1, 2 * places.index / (sizes - 1).clamp(min=1) - 1, torch.zeros(()))
    image = functional.grid_sample(box[None], scaled.flip(-1)[None], "bilinear", "border", align_corners=True)[0]
    image = _normalize(image, voxels).masked_fill_(~places.valid, 0.0)
    if not label:
        return image, places.valid, None
    stored = torch.from_numpy(store.read_label(position, places.low.tolist(), places.high.tolist()).astype(np.int64))
    nearest = torch.floor(places.index + 0.5).long()
    i, j, k = (nearest[..., axis].clamp_(0, size - 1) for axis, size in enumerate(stored.shape[1:]))
    mask = stored[:, i, j, k].masked_fill_(~places.valid, -1)
    return image, places.valid, mask
