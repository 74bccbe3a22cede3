"""Voxels of a grid: read from the store and interpolated once, straight into the network's range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medssl.store.store import Store
from medssl.views.block import Block, Steps, Voxel, box_around, places, steps_of
from medssl.views.grid import Grid
from medssl.views.kernels import run
from medssl.views.kernels.choice import compiled

Sampled = tuple[Tensor, Tensor, Tensor | None]

Place = tuple[Tensor, Tensor]
"""Memory for a view's image ``(C, i, j, k)`` float32 and valid ``(1, i, j, k)`` bool, each in one piece."""


def sample(store: Store, position: int, grid: Grid, label: bool = False, into: Place | None = None) -> Sampled:
    """The voxels of a grid.

    Values are interpolated trilinearly between the stored integers, once, then mapped to
    ``clip((v − low) / (high − low), 0, 1)``. A voxel is valid when its centre lies in the box of the scan's voxels
    (half a voxel beyond the outermost centres, where the edge is repeated); elsewhere the image is 0. Labels are
    those of the nearest voxel. A grid that falls on the stored voxels, also flipped or with axes exchanged, copies
    them without interpolation. Only the stored voxels that the grid needs are read.

    A grid coarser than the stored voxels takes the values at its centres, as is usual in the field: fine structure
    may alias. Prepare a store of the coarser spacing where views are meant to be coarse.

    Args:
        store: the store.
        position: which scan.
        grid: where the voxels lie, in millimetres.
        label: whether the label map is wanted.
        into: where image and valid shall lie; new memory by default.

    Returns:
        Image ``(C, i, j, k)`` float32, valid ``(1, i, j, k)`` bool, label ``(1, i, j, k)`` int64 (-1 where not
        valid) or None.

    Raises:
        InputError: ``store-corrupt``; or ``label`` where there is no label map.
    """
    return sample_block(read_block(store, position, [grid], label), grid, into)


def read_block(store: Store, position: int, grids: Sequence[Grid], label: bool = False) -> Block:
    """The stored voxels that some grids of a scan need together, read once.

    Args:
        store: the store.
        position: which scan.
        grids: the views that will be sampled.
        label: whether the label map is wanted.

    Raises:
        InputError: as ``sample``.
    """
    voxels = store.entry(position).voxels
    shape = (voxels.shape[1], voxels.shape[2], voxels.shape[3])
    low, high = box_around(grids, voxels.affine, shape)
    width = voxels.high - voxels.low
    return Block(
        store.read(position, low, high),
        low,
        shape,
        voxels.affine,
        voxels.scale / width,
        (voxels.offset - voxels.low) / width,
        store.read_label(position, low, high) if label else None,
    )


def sample_block(block: Block, grid: Grid, into: Place | None = None) -> Sampled:
    """The voxels of a grid from a block that holds all it needs; see ``sample``.

    Compiled where it can be, else by torch: the same to 1e-5 of the network's range.

    Raises:
        ValueError: the block lacks voxels that the grid needs.
    """
    found = places(grid, block)
    steps = steps_of(grid, block.affine)
    if into is None:
        into = (torch.empty((block.data.shape[0], *grid.shape)), torch.empty((1, *grid.shape), dtype=torch.bool))
    if steps is not None:
        return _copy(block, steps, grid.shape, into)
    if compiled() is not None:
        return run.interpolate(block, grid, found, into)
    image, valid, label = sample_batch([block], [grid])
    return into[0].copy_(image[0]), into[1].copy_(valid[0]), None if label is None else label[0]


def sample_batch(blocks: Sequence[Block], grids: Sequence[Grid], device: torch.device | str = "cpu") -> Sampled:
    """Views of one shape, one from each block, made together on a device by torch.

    Args:
        blocks: as many as grids, with one count of channels; all with labels, or none. Their data may be tensors
            that lie on the device already.
        grids: the views.
        device: where the work is done and the views lie.

    Returns:
        Image ``(N, C, i, j, k)``, valid ``(N, 1, i, j, k)`` and label ``(N, 1, i, j, k)`` or None; the same numbers
        as ``sample_block``'s to 1e-5 of the network's range.

    Raises:
        ValueError: the views differ in shape or the blocks in channels, or a block lacks voxels.
    """
    from medssl.views.kernels.gather import gather

    if len(blocks) != len(grids) or not grids:
        raise ValueError(f"there must be as many blocks as grids, at least one, got {len(blocks)} and {len(grids)}")
    kinds = {(grid.shape, block.data.shape[0], block.label is None) for grid, block in zip(grids, blocks, strict=True)}
    if len(kinds) > 1:
        raise ValueError(f"views of a batch must share shape, channels and labels, got {sorted(kinds)}")
    found = [places(grid, block) for grid, block in zip(grids, blocks, strict=True)]
    return gather(blocks, grids, found, torch.device(device))


def _copy(block: Block, steps: Steps, shape: Voxel, into: Place) -> Sampled:
    inside, low, high = steps.inside(shape, block.shape)
    full = all(part.stop - part.start == n for part, n in zip(inside, shape, strict=True))
    image, valid = into
    valid.fill_(full)
    if not full:
        image.zero_()
    mask = None if block.label is None else torch.full((1, *shape), -1, dtype=torch.int64)
    if all(part.stop > part.start for part in inside):
        place = (slice(None), *inside)
        box = (slice(None), *(slice(a - b, c - b) for a, b, c in zip(low, block.low, high, strict=True)))
        turned = _turned(block.data[box], steps)
        if compiled() is not None:
            run.copy(block, turned, image, inside)
        else:
            image[place] = _to_network(block, turned)
        if not full:
            valid[place] = True
        if mask is not None:
            mask[place] = torch.from_numpy(_turned(block.label[box], steps).astype(np.int64))
    return image, valid, mask


def _turned(box: NDArray[Any], steps: Steps) -> NDArray[Any]:
    turned = box.transpose(0, *(axis + 1 for axis in steps.axes))
    return turned[(slice(None), *(slice(None, None, sign) for sign in steps.signs))]


def _to_network(block: Block, stored: NDArray[Any]) -> Tensor:
    gain, bias = (torch.from_numpy(numbers)[:, None, None, None] for numbers in block.map_to_network())
    return torch.from_numpy(stored.astype(np.float32)).mul_(gain).add_(bias).clamp_(0.0, 1.0)
