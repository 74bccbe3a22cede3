"""Half of a batch's views masked, each to its own extent (iBOT, arXiv 2111.07832; DINOv2, arXiv 2304.07193)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from medssl.errors import RecipeError
from medssl.views.masks.contract import Cells, Hidden, Mask, check_mask, hidden_count


@dataclass(frozen=True)
class MaskedHalf(Mask):
    """Random cells of every other sample's view; the other views are whole.

    The ratio is stratified: the range is cut into as many parts as the batch has samples, and each sample draws within
    its own. With a second role of the other ``turn``, one view of each pair is masked and one is whole. Counts differ
    between views, so that an encoder must fill hidden cells and cannot leave them out.

    Args:
        ratio: smallest and largest share of cells to hide.
        cell: length of a cell along each axis, in voxels of the view.
        turn: 0 masks the samples of even slots, 1 those of odd ones.
        slot: of the sample in its batch; None (a view that is drawn by itself) leaves it to chance.
        slots: samples of the batch, over all processes.

    Raises:
        RecipeError: a setting is out of range.
    """

    ratio: tuple[float, float] = (0.2, 0.75)
    cell: int = 16
    turn: int = 0
    slot: int | None = None
    slots: int = 1

    def __post_init__(self) -> None:
        for share in self.ratio:
            check_mask(share, self.cell)
        if self.ratio[0] > self.ratio[1]:
            raise RecipeError(f"ratio must be two rising shares, got {self.ratio}")

    def at(self, slot: int, slots: int) -> MaskedHalf:
        """The policy of one sample of a batch."""
        return dataclasses.replace(self, slot=slot, slots=slots)

    def draw(self, cells: Cells, rng: np.random.Generator) -> Hidden:
        """True where hidden.

        Example:
            >>> half = MaskedHalf((0.5, 0.5))
            >>> [int(half.at(slot, 4).draw((2, 2, 2), np.random.default_rng(0)).sum()) for slot in range(4)]
            [4, 0, 4, 0]
        """
        total = int(np.prod(cells))
        out = np.zeros(total, dtype=np.bool_)
        # as many numbers are drawn whether a view is masked or not
        chance, within, order = rng.random(), rng.random(), rng.permutation(total)
        stratum = chance if self.slot is None else (self.slot + within) / self.slots
        masked = within < 0.5 if self.slot is None else (self.slot + self.turn) % 2 == 0
        if masked:
            low, high = self.ratio
            out[order[: hidden_count(total, low + (high - low) * stratum, "floor")]] = True
        return out.reshape(cells)
