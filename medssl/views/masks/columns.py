"""Cells hidden together along an axis: all of it, or stretches of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.errors import RecipeError
from medssl.views.masks.contract import Cells, Hidden, Mask, Rounding, check_mask, hidden_count


@dataclass(frozen=True)
class Columns(Mask):
    """A random mask of the plane across an axis, repeated along it, so that no slice gives the next away.

    Alice masks so (arXiv 2302.05615: the i-j plane, repeated along k).

    Args:
        ratio: share of columns to hide, in [0, 1).
        cell: length of a cell along each axis, in voxels of the view.
        axis: along which the mask is the same: 0, 1 or 2.
        rounding: of the count of columns, see ``hidden_count``.

    Raises:
        RecipeError: a setting is out of range.
    """

    ratio: float = 0.75
    cell: int = 16
    axis: int = 2
    rounding: Rounding = "ceil"

    def __post_init__(self) -> None:
        check_mask(self.ratio, self.cell, self.rounding)
        _check_axis(self.axis)

    def draw(self, cells: Cells, rng: np.random.Generator) -> Hidden:
        """True where hidden; the same columns in number in every draw.

        Example:
            >>> hidden = Columns(0.75).draw((4, 4, 4), np.random.default_rng(0))
            >>> int(hidden[:, :, 0].sum()), bool((hidden == hidden[:, :, :1]).all())
            (12, True)
        """
        return _repeated(cells, self.axis, [cells[self.axis]], self.ratio, self.rounding, rng)


@dataclass(frozen=True)
class Tubes(Mask):
    """Columns of a given length: the mask of the plane is drawn anew for every stretch along the axis.

    With a length of one cell it is random cells with the same count in every layer; with the whole axis it is
    ``Columns``, the tube masking of VideoMAE (arXiv 2203.12602).

    Args:
        ratio: share of cells to hide in every layer, in [0, 1).
        cell: length of a cell along each axis, in voxels of the view.
        axis: along which the tubes run: 0, 1 or 2.
        length: of a tube, in cells; the last one may be shorter.
        rounding: of the count in a layer, see ``hidden_count``.

    Raises:
        RecipeError: a setting is out of range.
    """

    ratio: float = 0.75
    cell: int = 16
    axis: int = 2
    length: int = 2
    rounding: Rounding = "round"

    def __post_init__(self) -> None:
        check_mask(self.ratio, self.cell, self.rounding)
        _check_axis(self.axis)
        if self.length < 1:
            raise RecipeError(f"length must be at least 1, got {self.length}")

    def draw(self, cells: Cells, rng: np.random.Generator) -> Hidden:
        """True where hidden; the same count in every layer across the axis."""
        whole, rest = divmod(cells[self.axis], self.length)
        stretches = [self.length] * whole + ([rest] if rest else [])
        return _repeated(cells, self.axis, stretches, self.ratio, self.rounding, rng)


def _repeated(
    cells: Cells, axis: int, stretches: list[int], ratio: float, rounding: Rounding, rng: np.random.Generator
) -> Hidden:
    plane = tuple(length for other, length in enumerate(cells) if other != axis)
    total = int(np.prod(plane))
    count = hidden_count(total, ratio, rounding)
    layers = []
    for length in stretches:
        layer = np.zeros(total, dtype=np.bool_)
        layer[rng.permutation(total)[:count]] = True
        layers.append(np.repeat(layer.reshape(plane)[None], length, axis=0))
    return np.ascontiguousarray(np.moveaxis(np.concatenate(layers), 0, axis))


def _check_axis(axis: int) -> None:
    if axis not in (0, 1, 2):
        raise RecipeError(f"axis must be 0, 1 or 2, got {axis}")
