"""Squared error on hidden voxels: the loss of masked pretraining (MAE, arXiv 2111.06377; SparK, arXiv 2301.03580)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-6
"""Added to a cell's variance, so that a constant cell has target 0."""


@dataclass(frozen=True)
class SquaredError:
    """A sum and what it was taken over, so that means over processes can be exact.

    Args:
        total: sum of squared errors.
        count: values that were summed.
    """

    total: Tensor
    count: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean; 0 where nothing was hidden."""
        return self.total / self.count.clamp(min=1)


def to_voxels(cells: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Cells ``(N, …cells)`` repeated to the voxels they cover, ``(N, 1, i, j, k)``.

    Raises:
        ValueError: the cells do not divide the shape.

    Example:
        >>> to_voxels(torch.tensor([[[[True]], [[False]]]]), (4, 1, 1)).flatten().tolist()
        [True, True, False, False]
    """
    out = cells[:, None]
    for axis, (count, length) in enumerate(zip(cells.shape[1:], shape, strict=True)):
        if length % count:
            raise ValueError(f"{count} cells do not divide {length} voxels along axis {axis}")
        out = out.repeat_interleave(length // count, dim=axis + 2)
    return out


def cell_statistics(image: Tensor, cells: tuple[int, ...], valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and sqrt(unbiased variance + 1e-6) of each cell over its valid voxels and all channels.

    Args:
        image: ``(N, C, i, j, k)``.
        cells: the grid of cells.
        valid: ``(N, 1, i, j, k)`` bool; None takes every voxel.

    Returns:
        Two ``(N, 1, i, j, k)`` float32, constant in each cell. A cell with fewer than two values has variance 0.
    """
    values = image.float()
    used = torch.ones_like(values) if valid is None else valid.to(values.dtype).expand_as(values)
    # padding may hold anything
    values = torch.where(used > 0, values, 0.0)
    count = _cell_sum(used, cells)
    mean = _cell_sum(values, cells) / count.clamp(min=1)
    shape = tuple(values.shape[2:])
    centred = (values - to_voxels(mean, shape)) * used
    variance = _cell_sum(centred.square(), cells) / (count - 1).clamp(min=1)
    return to_voxels(mean, shape), to_voxels((variance + EPS).sqrt(), shape)


def normalized_target(image: Tensor, cells: tuple[int, ...], valid: Tensor | None = None) -> Tensor:
    """The image with each cell's own mean removed and divided by its own spread; 0 for a constant cell."""
    mean, spread = cell_statistics(image, cells, valid)
    return (image.float() - mean) / spread


def masked_error(rebuilt: Tensor, target: Tensor, hidden: Tensor, valid: Tensor | None = None) -> SquaredError:
    """Squared error over hidden voxels that are not padding, in float32.

    Args:
        rebuilt: ``(N, C, i, j, k)``.
        target: ``(N, C, i, j, k)``, without gradient.
        hidden: ``(N, …cells)`` bool, True where the encoder saw nothing.
        valid: ``(N, 1, i, j, k)`` bool, inside the scan; None takes every voxel.

    Example:
        >>> hidden = torch.tensor([[[[True]], [[False]]]])
        >>> error = masked_error(torch.zeros(1, 1, 4, 1, 1), torch.full((1, 1, 4, 1, 1), 3.0), hidden)
        >>> float(error.mean), int(error.count)
        (9.0, 2)
    """
    if rebuilt.shape != target.shape:
        raise ValueError(f"rebuilt and target must have one shape, got {tuple(rebuilt.shape)}, {tuple(target.shape)}")
    counted = to_voxels(hidden, tuple(target.shape[2:]))
    if valid is not None:
        counted = counted & valid
    counted = counted.expand_as(target)
    # chosen before squaring, so that what stands in padding or in visible voxels cannot reach the gradient
    difference = torch.where(counted, rebuilt.float() - target.detach().float(), 0.0)
    return SquaredError(difference.square().sum(), counted.sum())


def _cell_sum(values: Tensor, cells: tuple[int, ...]) -> Tensor:
    """Sums over the voxels of each cell and over channels, ``(N, …cells)``."""
    n, c, *shape = values.shape
    split = [part for count, length in zip(cells, shape, strict=True) for part in (count, length // count)]
    within = tuple(range(3, 3 + 2 * len(cells), 2))
    return values.reshape(n, c, *split).sum(dim=(1, *within))
