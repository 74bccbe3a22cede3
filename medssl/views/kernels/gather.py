"""The same numbers as the compiled loops, by torch: for machines without numba, and for blocks on an accelerator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.views.block import Block, Places
from medssl.views.grid import Array, Grid

Sampled = tuple[Tensor, Tensor, Tensor | None]


@dataclass(frozen=True, eq=False)
class _Flat:
    """Blocks one after the other in one array, each with its own strides."""

    values: Tensor
    channels: int
    start: Tensor
    strides: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, arrays: Sequence[Tensor], device: torch.device) -> _Flat:
        shapes = np.asarray([tuple(array.shape) for array in arrays])
        counts = shapes.prod(axis=1)
        strides = np.stack([shapes[:, axis + 1 :].prod(axis=1) for axis in range(4)], axis=1)
        values = arrays[0].reshape(-1) if len(arrays) == 1 else torch.cat([array.reshape(-1) for array in arrays])
        start = torch.from_numpy(np.cumsum(counts) - counts).to(device)
        steps, sizes = torch.from_numpy(strides).to(device), torch.from_numpy(shapes[:, 1:]).to(device)
        return cls(values, int(shapes[0, 0]), start, steps, sizes)


def gather(blocks: Sequence[Block], grids: Sequence[Grid], found: Sequence[Places], device: torch.device) -> Sampled:
    """Views of one shape, one from each block.

    Args:
        blocks: as many as grids, with one count of channels.
        grids: their views.
        found: where each lies in its block.
        device: where the work is done and the views lie.

    Returns:
        Image ``(N, C, i, j, k)``, valid ``(N, 1, i, j, k)`` and label ``(N, 1, i, j, k)`` or None.
    """
    flat = _Flat.of([_tensor(block.data, device) for block in blocks], device)
    x = _indices(grids, found, device)
    least = _per_view(np.stack([one.least for one in found]), device)
    most = _per_view(np.stack([one.most for one in found]), device)
    top = _per_view(np.asarray([block.data.shape[1:] for block in blocks]) - 1.0, device)
    valid = ((x >= least) & (x <= most)).all(dim=1, keepdim=True)
    x = torch.minimum(x.clamp_(min=0.0), top)
    whole = torch.minimum(x.to(torch.int64), (top.to(torch.int64) - 1).clamp_(min=0))
    part = (x - whole).to(torch.float32)
    maps = [np.stack(rows) for rows in zip(*(block.map_to_network() for block in blocks), strict=True)]
    gain, bias = (torch.from_numpy(rows).to(device)[..., None, None, None] for rows in maps)
    image = _interpolate(flat, whole, part).mul_(gain).add_(bias).clamp_(0.0, 1.0).masked_fill_(~valid, 0.0)
    if blocks[0].label is None:
        return image, valid, None
    labels = _Flat.of([_tensor(block.label, device) for block in blocks], device)
    at = _address(labels, (x + 0.5).to(torch.int64))
    return image, valid, labels.values[at].to(torch.int64)[:, None].masked_fill_(~valid, -1)


def _tensor(array: Any, device: torch.device) -> Tensor:
    if isinstance(array, Tensor):
        return array.to(device)
    # torch counts with few unsigned types, and with one order of bytes
    wider = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}
    kind = wider.get(array.dtype.name, array.dtype.newbyteorder("="))
    return torch.from_numpy(np.array(array, kind, order="C")).to(device)


def _per_view(rows: Array, device: torch.device) -> Tensor:
    """``(N, 3)`` for use with ``(N, 3, i, j, k)``."""
    return _exact(rows, device)[..., None, None, None]


def _exact(rows: Array, device: torch.device) -> Tensor:
    # double precision, as in the compiled loops; single where the device has no double
    kind = torch.float32 if device.type == "mps" else torch.float64
    return torch.from_numpy(np.ascontiguousarray(rows)).to(kind).to(device)


def _indices(grids: Sequence[Grid], found: Sequence[Places], device: torch.device) -> Tensor:
    """Places of all voxels in their blocks, ``(N, 3, i, j, k)``."""
    shape = grids[0].shape
    into = _exact(np.stack([one.into for one in found]), device)
    out = into[:, :, 3, None, None, None]
    for axis, n in enumerate(shape):
        steps = torch.arange(n, device=device, dtype=into.dtype).reshape([n if a == axis else 1 for a in range(3)])
        out = out + into[:, :, axis, None, None, None] * steps
    for number, (grid, one) in enumerate(zip(grids, found, strict=True)):
        if grid.warp is not None and one.control is not None:
            moved = _exact(one.control, device)
            for axis in range(3):
                full = _exact(grid.warp.matrix(axis), device)
                moved = torch.movedim(torch.tensordot(full, moved, dims=([1], [axis + 1])), 0, axis + 1)
            out[number] += moved
    return out


def _address(flat: _Flat, whole: Tensor) -> Tensor:
    """Position of voxels ``(N, 3, i, j, k)`` in the flat array, ``(N, i, j, k)``, for the first channel."""
    strides = flat.strides[:, 1:, None, None, None]
    out: Tensor = (whole * strides).sum(dim=1) + flat.start[:, None, None, None]
    return out


def _interpolate(flat: _Flat, whole: Tensor, part: Tensor) -> Tensor:
    first = _address(flat, whole)
    # along an axis of one voxel the neighbour is the voxel itself
    step = torch.where(flat.sizes > 1, flat.strides[:, 1:], 0)[..., None, None, None]
    channel = flat.strides[:, 0, None, None, None]
    fi, fj, fk = part.unbind(dim=1)
    out = []
    for number in range(flat.channels):
        at = first + number * channel
        planes = []
        for i in (0, 1):
            rows = []
            for j in (0, 1):
                here = at + i * step[:, 0] + j * step[:, 1]
                a, b = (flat.values[here + k * step[:, 2]].to(torch.float32) for k in (0, 1))
                rows.append(a.lerp_(b, fk))
            planes.append(rows[0].lerp_(rows[1], fj))
        out.append(planes[0].lerp_(planes[1], fi))
    return torch.stack(out, dim=1)
