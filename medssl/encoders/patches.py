"""Volumes as rows of patches and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor


def to_patches(x: Tensor, patch: Sequence[int]) -> Tensor:
    """Cut ``(N, C, i, j, k)`` into patches ``(N, L, C · voxels)``, places row-major, channels first in a row.

    Args:
        x: voxels; ``patch`` divides every axis.
        patch: edge of a patch along each axis.

    Example:
        >>> import torch
        >>> to_patches(torch.arange(4.0).reshape(1, 1, 4, 1, 1), (2, 1, 1)).tolist()
        [[[0.0, 1.0], [2.0, 3.0]]]
    """
    dims = len(patch)
    grid = [n // p for n, p in zip(x.shape[2:], patch, strict=True)]
    split = x.reshape(len(x), x.shape[1], *[n for pair in zip(grid, patch, strict=True) for n in pair])
    places = [2 + 2 * axis for axis in range(dims)]
    inner = [3 + 2 * axis for axis in range(dims)]
    return split.permute(0, *places, 1, *inner).reshape(len(x), math.prod(grid), -1)


def from_patches(rows: Tensor, grid: Sequence[int], patch: Sequence[int]) -> Tensor:
    """Put patches ``(N, L, C · voxels)`` together again: the inverse of ``to_patches``.

    Args:
        rows: as ``to_patches`` gives them.
        grid: patches along each axis.
        patch: edge of a patch along each axis.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 3, 4, 6, 8)
        >>> bool((from_patches(to_patches(x, (2, 3, 4)), (2, 2, 2), (2, 3, 4)) == x).all())
        True
    """
    dims = len(patch)
    split = rows.reshape(len(rows), *grid, -1, *patch)
    order = [0, dims + 1]
    for axis in range(dims):
        order += [1 + axis, dims + 2 + axis]
    shape = [g * p for g, p in zip(grid, patch, strict=True)]
    return split.permute(order).reshape(len(rows), -1, *shape)
