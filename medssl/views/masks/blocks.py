"""Boxes of cells hidden together, so that what is hidden cannot be guessed from its next neighbour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.errors import RecipeError
from medssl.views.masks.contract import Cells, Hidden, Mask, Rounding, check_mask, hidden_count


@dataclass(frozen=True)
class Blocks(Mask):
    """Boxes of random size and place are hidden until the count is reached; the last one only in part.

    The block-wise masking of BEiT (Bao et al., arXiv 2106.08254) in three dimensions, with an exact count.

    Args:
        ratio: share of cells to hide, in [0, 1).
        cell: length of a cell along each axis, in voxels of the view.
        edge: shortest and longest edge of a box, in cells.
        rounding: see ``hidden_count``.

    Raises:
        RecipeError: a setting is out of range.
    """

    ratio: float = 0.6
    cell: int = 16
    edge: tuple[int, int] = (2, 4)
    rounding: Rounding = "round"

    def __post_init__(self) -> None:
        check_mask(self.ratio, self.cell, self.rounding)
        if len(self.edge) != 2 or not 1 <= self.edge[0] <= self.edge[1]:
            raise RecipeError(f"edge must be two rising whole numbers above 0, got {self.edge}")

    def draw(self, cells: Cells, rng: np.random.Generator) -> Hidden:
        """True where hidden; the same count in every draw.

        Example:
            >>> int(Blocks(0.5).draw((4, 4, 4), np.random.default_rng(0)).sum())
            32
        """
        out = np.zeros(cells, dtype=np.bool_)
        left = hidden_count(out.size, self.ratio, self.rounding)
        while left > 0:
            box = []
            for length in cells:
                size = min(int(rng.integers(self.edge[0], self.edge[1] + 1)), length)
                start = int(rng.integers(0, length - size + 1))
                box.append(np.arange(start, start + size))
            inside = np.zeros_like(out)
            inside[np.ix_(*box)] = True
            new = np.argwhere(inside & ~out)
            # a box that would hide too many grows from one of its faces, so that it stays one piece
            axis, sign = int(rng.integers(3)), 1 - 2 * int(rng.integers(2))
            order = np.lexsort((rng.random(len(new)), sign * new[:, axis]))
            out[tuple(new[order[:left]].T)] = True
            left -= min(left, len(new))
        return out
