"""Draws of one view that share as little as they can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.views.masks.contract import Cells, Hidden, Mask, Rounding, check_mask, hidden_count


@dataclass(frozen=True)
class Complementary(Mask):
    """The draws of a view show windows of one random order of its cells, one after the other.

    With ``v`` visible cells a draw, the first ``cells / v`` draws show no cell twice: at a ratio of ½ the second draw
    hides exactly what the first shows. With fewer than half the cells hidden, two draws hide none together.

    Args:
        ratio: share of cells to hide, in [0, 1).
        cell: length of a cell along each axis, in voxels of the view.
        rounding: see ``hidden_count``.

    Raises:
        RecipeError: a setting is out of range.
    """

    ratio: float = 0.5
    cell: int = 16
    rounding: Rounding = "round"

    def __post_init__(self) -> None:
        check_mask(self.ratio, self.cell, self.rounding)

    def draw(self, cells: Cells, rng: np.random.Generator) -> Hidden:
        """One draw alone: random cells."""
        out: Hidden = self.draws(cells, rng, 1)[0]
        return out

    def draws(self, cells: Cells, rng: np.random.Generator, count: int) -> Hidden:
        """``(count, *cells)``, the same count hidden in each.

        Example:
            >>> first, second = Complementary(0.5).draws((2, 2, 2), np.random.default_rng(0), 2)
            >>> bool((first ^ second).all())
            True
        """
        total = int(np.prod(cells))
        visible = total - hidden_count(total, self.ratio, self.rounding)
        order = rng.permutation(total)
        out = np.ones((count, total), dtype=np.bool_)
        for number in range(count):
            out[number, order[np.arange(number * visible, (number + 1) * visible) % total]] = False
        return out.reshape(count, *cells)
