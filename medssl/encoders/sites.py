"""Which sites of a feature map are visible, at any resolution, given the hidden cells of the input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from medssl.errors import UsageError


class Sites:
    """The visible sites of a batch at every resolution of a network.

    A map that is coarser than the grid of cells along any axis has no hidden sites: each of its sites sees
    visible voxels too, so all of them are active.

    Args:
        hidden: ``(N, cells…)`` bool, True where hidden.
        image: voxels of the input along each axis; where it is known, maps that are not aligned with it are refused.

    Raises:
        UsageError: a sample has no visible cell, ``hidden`` is not bool, or cells do not divide the input.
    """

    def __init__(self, hidden: Tensor, image: Sequence[int] | None = None) -> None:
        if hidden.dtype != torch.bool:
            raise UsageError(f"hidden must be bool, got {hidden.dtype}", code="encoder")
        self.visible = ~hidden
        self.cells = tuple(hidden.shape[1:])
        self.seen: list[int] = self.visible.flatten(1).sum(1).tolist()
        if min(self.seen, default=0) == 0:
            raise UsageError(
                f"every sample needs a visible cell, got visible counts {self.seen}", code="encoder", hint="hide less"
            )
        self.nothing_hidden = min(self.seen) == math.prod(self.cells)
        self._known: dict[tuple[int, ...], Tensor | None] = {}
        self.image: tuple[int, ...] | None = None
        if image is not None:
            self.align(image)

    def align(self, image: Sequence[int]) -> None:
        """Take note of the input's shape; cells must divide it."""
        if len(image) != len(self.cells) or any(n % c for n, c in zip(image, self.cells, strict=True)):
            raise UsageError(f"cells {self.cells} must divide the input {tuple(image)} along each axis", code="encoder")
        self.image = tuple(image)

    def active(self, shape: Sequence[int]) -> Tensor | None:
        """The active sites of a map as ``(N, 1, i, j, k)`` bool, or None where all are active.

        Raises:
            UsageError: the map cannot be divided into the cells.

        Example:
            >>> hidden = torch.tensor([[[[True]], [[False]]]])
            >>> Sites(hidden).active((4, 1, 1)).flatten().tolist()
            [False, False, True, True]
            >>> Sites(hidden).active((1, 1, 1)) is None
            True
        """
        key = tuple(shape)
        if key not in self._known:
            self._known[key] = self._spread(key)
        return self._known[key]

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether the map has whole sites for every cell (or is coarser than the cells)."""
        if any(n < c for n, c in zip(shape, self.cells, strict=True)):
            return True
        aligned = self.image is None or all(i % n == 0 or n % i == 0 for i, n in zip(self.image, shape, strict=True))
        return aligned and not any(n % c for n, c in zip(shape, self.cells, strict=True))

    def counts(self, shape: Sequence[int]) -> list[int]:
        """Active sites of each sample."""
        if self.active(shape) is None:
            return [math.prod(shape)] * len(self.seen)
        factor = math.prod(shape) // math.prod(self.cells)
        return [count * factor for count in self.seen]

    def erase(self, x: Tensor) -> Tensor:
        """The map with exact zeros at its hidden sites, whatever stood there (NaN as well)."""
        active = self.active(x.shape[2:])
        return x if active is None else torch.where(active, x, torch.zeros((), dtype=x.dtype, device=x.device))

    def mean(self, x: Tensor) -> Tensor:
        """Mean over the active sites: ``(N, C, i, j, k)`` to ``(N, C)``."""
        shape = x.shape[2:]
        total = self.erase(x).flatten(2).sum(2)
        return total / torch.tensor(self.counts(shape), device=x.device, dtype=total.dtype)[:, None]

    def _spread(self, shape: tuple[int, ...]) -> Tensor | None:
        if len(shape) != len(self.cells):
            raise UsageError(f"a map of {len(shape)} axes has no {len(self.cells)}-dimensional cells", code="encoder")
        if self.nothing_hidden or any(n < c for n, c in zip(shape, self.cells, strict=True)):
            return None
        if not self.fits(shape):
            raise UsageError(
                f"a feature map of shape {shape} cannot be divided into cells {self.cells} of an input {self.image}",
                code="encoder",
                hint="use 'same' padding, or cells and a crop that fit the strides",
            )
        mask = self.visible
        for axis, (sites, cells) in enumerate(zip(shape, self.cells, strict=True), start=1):
            mask = mask if sites == cells else mask.repeat_interleave(sites // cells, dim=axis)
        return mask.unsqueeze(1)
