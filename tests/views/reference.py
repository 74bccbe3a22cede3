"""What a view should be, voxel by voxel in double precision: slow, and plain enough to be read as a definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from medssl.views.block import Block
from medssl.views.grid import Grid


@dataclass(frozen=True)
class Expected:
    """A view in double precision.

    ``clear`` is where no rounding decides whether a voxel is inside the scan, ``certain`` where none decides which
    stored voxel is nearest either.
    """

    image: np.ndarray
    valid: np.ndarray
    label: np.ndarray | None
    clear: np.ndarray
    certain: np.ndarray


def indices(shape: tuple[int, ...]) -> np.ndarray:
    """All voxel indices ``(N, 3)``, k fastest."""
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)


def expected(block: Block, grid: Grid) -> Expected:
    """A view of a block that holds the whole scan."""
    size = np.asarray(block.shape)
    back = np.linalg.inv(block.affine)
    place = grid.to_mm(indices(grid.shape)) @ back[:3, :3].T + back[:3, 3]
    inside = ((place >= -0.5) & (place <= size - 0.5)).all(axis=1)
    clear = np.minimum(np.abs(place + 0.5), np.abs(place - size + 0.5)).min(axis=1) > 1e-3
    held = np.clip(place, 0, size - 1)
    whole = np.minimum(np.floor(held), np.maximum(size - 2, 0)).astype(int)
    part = held - whole
    stored = np.asarray(block.data).astype(np.float64)
    values: Any = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        i, j, k = np.minimum(whole + corner, size - 1).T
        values = values + weight * stored[:, i, j, k]
    image = np.clip(values * np.reshape(block.gain, (-1, 1)) + np.reshape(block.bias, (-1, 1)), 0, 1)
    label = None
    if block.label is not None:
        i, j, k = np.floor(held + 0.5).astype(int).T
        label = np.where(inside, block.label[0, i, j, k].astype(np.int64), -1).reshape(1, *grid.shape)
    certain = clear & (np.abs(held - np.floor(held) - 0.5).min(axis=1) > 1e-7)
    return Expected(
        np.where(inside, image, 0.0).reshape(-1, *grid.shape),
        inside.reshape(1, *grid.shape),
        label,
        clear.reshape(1, *grid.shape),
        certain.reshape(1, *grid.shape),
    )
