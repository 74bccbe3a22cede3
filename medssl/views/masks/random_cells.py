"""Cells hidden at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.views.masks.contract import Cells, Hidden, Mask, Rounding, check_mask, hidden_count


@dataclass(frozen=True)
class RandomCells(Mask):
    """Cells hidden at random, each as likely as any other.

    Args:
        ratio: share of cells to hide, in [0, 1).
        cell: length of a cell along each axis, in voxels of the view.
        rounding: see ``hidden_count``.

    Raises:
        RecipeError: the ratio or the cell is out of range.
    """

    ratio: float = 0.6
    cell: int = 16
    rounding: Rounding = "round"

    def __post_init__(self) -> None:
        check_mask(self.ratio, self.cell, self.rounding)

    def draw(self, cells: Cells, rng: np.random.Generator) -> Hidden:
        """True where hidden; the same count in every draw.

        Example:
            >>> int(RandomCells(0.6).draw((4, 4, 4), np.random.default_rng(0)).sum())
            38
        """
        total = int(np.prod(cells))
        out = np.zeros(total, dtype=np.bool_)
        out[rng.permutation(total)[: hidden_count(total, self.ratio, self.rounding)]] = True
        return out.reshape(cells)
