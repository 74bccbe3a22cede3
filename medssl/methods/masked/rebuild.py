"""What masked methods share around their networks: the role, the loss on hidden voxels, the pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from medssl.encoders.contract import Encoder
from medssl.errors import UsageError
from medssl.methods.contract import Context, ViewSettings
from medssl.methods.roles import random_crops
from medssl.objectives.reconstruction import cell_statistics, masked_error, to_voxels
from medssl.views.masks.random_cells import RandomCells
from medssl.views.view import Role, Views


def require_masking(encoder: Encoder, kind: str, method: str) -> None:
    """Refuse an encoder that cannot hide cells the way the method needs.

    Raises:
        UsageError: with code ``method``.
    """
    if encoder.masking != kind:
        words = {"erase": "a convolutional encoder (resnet, resenc)", "drop": "a transformer that drops tokens (vit)"}
        raise UsageError(
            f"{method} needs {words[kind]}, got {type(encoder).__name__} with masking {encoder.masking!r}",
            code="method",
        )


def cell_edge(cell: int | None, strides: Sequence[int]) -> int:
    """The edge of a cell: what was asked for, or the smallest cube that the strides divide."""
    return math.lcm(*strides) if cell is None else cell


def masked_crops(settings: ViewSettings, ratio: float, cell: int) -> Role:
    """One crop a scan, with random cells hidden.

    Raises:
        UsageError: cells do not divide the crop.
    """
    if any(length % cell for length in settings.crop):
        raise UsageError(
            f"crop {settings.crop} must be a multiple of the cells' edge {cell} along each axis",
            path="views.crop",
            code="method",
            hint="set method.cell or views.crop",
        )
    return random_crops(settings, masks=RandomCells(ratio, cell))


def hidden_cells(views: Views) -> Tensor:
    """The first mask of every view, ``(N, …cells)``.

    Raises:
        UsageError: the views carry no mask.
    """
    if views.hidden is None:
        raise UsageError("masked pretraining needs views with hidden cells, got views without", code="batch")
    return views.hidden[0]


def rebuilding_loss(
    rebuilt: Tensor, views: Views, cells: tuple[int, ...] | None, ctx: Context
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean squared error over the hidden voxels of all processes that are not padding.

    Args:
        rebuilt: ``(N, C, i, j, k)``.
        views: what was rebuilt.
        cells: the grid of cells whose own mean and spread are taken from the target, or None.
        ctx: whose gather tells how many voxels the other processes count.
    """
    target = views.image
    if cells is not None:
        mean, spread = cell_statistics(target, cells, views.valid)
        target = (target - mean) / spread
    error = masked_error(rebuilt, target, hidden_cells(views), views.valid)
    return mean_of_all(error.total, error.count, ctx), {"rebuilt_voxels": error.count.float()}


def mean_of_all(total: Tensor, count: Tensor, ctx: Context) -> Tensor:
    """A sum of this process over the mean count of a process: the mean of gradients is then that of all together.

    Args:
        total: the sum; 0 where nothing was counted.
        count: how many values were summed here.
        ctx: whose gather tells how many the other processes count.
    """
    return total / ctx.gather(count.reshape(1)).double().mean().clamp(min=1).to(total.dtype)


def everywhere(views: Views) -> Views:
    """The views with one hidden cell that covers each: all of it is to be rebuilt, but for padding."""
    return replace(views, hidden=torch.ones(1, len(views), 1, 1, 1, dtype=torch.bool, device=views.image.device))


def rebuilding_pictures(rebuilt: Tensor, views: Views, cells: tuple[int, ...] | None) -> dict[str, Tensor]:
    """``input``, ``masked`` (hidden cells at the view's lowest value) and ``rebuilt`` (hidden cells as predicted)."""
    image = views.image
    hidden = to_voxels(hidden_cells(views), tuple(image.shape[2:]))
    rebuilt = rebuilt.detach().to(image.dtype)
    if cells is not None:
        mean, spread = cell_statistics(image, cells, views.valid)
        rebuilt = rebuilt * spread + mean
    lowest = image.amin(dim=(2, 3, 4), keepdim=True)
    return {
        "input": image,
        "masked": torch.where(hidden, lowest, image),
        "rebuilt": torch.where(hidden, rebuilt, image),
    }
