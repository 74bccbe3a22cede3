"""Which cells of a view are hidden."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medssl.errors import RecipeError

Rounding = Literal["round", "floor", "ceil"]


def hidden_count(cells: int, ratio: float, rounding: Rounding = "round") -> int:
    """How many of ``cells`` are hidden; at least one stays visible.

    Args:
        cells: cells of the view.
        ratio: share to hide, in [0, 1).
        rounding: of what is not a whole number. ``round`` rounds the count of visible cells (SparK), ``floor`` and
            ``ceil`` the count of hidden ones (nnssl, Alice).

    Example:
        >>> [n - hidden_count(n, 0.6) for n in (49, 64, 125)]
        [20, 26, 50]
    """
    # 0.55 of 100 must not become 56 through the last binary digit
    share = round(cells * ratio, 9)
    if rounding == "round":
        count = cells - round(round(cells * (1 - ratio), 9))
    else:
        count = math.floor(share) if rounding == "floor" else math.ceil(share)
    return min(count, cells - 1)


@dataclass(frozen=True)
class RandomCells:
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
        if not 0 <= self.ratio < 1:
            raise RecipeError(f"ratio must be in [0, 1), got {self.ratio}")
        if self.cell < 1:
            raise RecipeError(f"cell must be at least 1, got {self.cell}")
        if self.rounding not in ("round", "floor", "ceil"):
            raise RecipeError(f"rounding must be round, floor or ceil, got {self.rounding!r}")

    def draw(self, cells: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
        """True where hidden; the same count in every draw.

        Example:
            >>> int(RandomCells(0.6).draw((4, 4, 4), np.random.default_rng(0)).sum())
            38
        """
        total = int(np.prod(cells))
        out = np.zeros(total, dtype=np.bool_)
        out[rng.permutation(total)[: hidden_count(total, self.ratio, self.rounding)]] = True
        return out.reshape(cells)
