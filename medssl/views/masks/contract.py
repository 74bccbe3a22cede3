"""What a mask policy does: hide the same count of cells in every draw."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medssl.errors import RecipeError

Cells = tuple[int, int, int]
Hidden = NDArray[np.bool_]
Rounding = Literal["round", "floor", "ceil"]


class Mask(ABC):
    """Which cells of a view are hidden; the contract of a policy of one's own.

    The count of hidden cells is a function of the grid of cells alone, so that the views of a batch can be stacked
    without padding.
    """

    cell: int

    @abstractmethod
    def draw(self, cells: Cells, rng: np.random.Generator) -> Hidden:
        """True where hidden, on a grid of ``cells``."""

    def draws(self, cells: Cells, rng: np.random.Generator, count: int) -> Hidden:
        """``(count, *cells)``: draws of one view; independent unless a policy relates them."""
        return np.stack([self.draw(cells, rng) for _ in range(count)])


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


def check_mask(ratio: float, cell: int, rounding: str = "round") -> None:
    """Refuse settings that are out of range.

    Raises:
        RecipeError: naming the setting.
    """
    if not 0 <= ratio < 1:
        raise RecipeError(f"ratio must be in [0, 1), got {ratio}")
    if cell < 1:
        raise RecipeError(f"cell must be at least 1, got {cell}")
    if rounding not in ("round", "floor", "ceil"):
        raise RecipeError(f"rounding must be round, floor or ceil, got {rounding!r}")
