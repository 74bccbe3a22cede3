"""Which slices within a volume say nothing new: the unit of "Less is More" (arXiv 2410.14524, Hash-6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.reduction.cover import Cover, cover_hashes
from medssl.reduction.dhash import hash_slices
from medssl.store.kept import parse_slices
from medssl.volume import Volume

DEFAULT_THRESHOLD = 6
"""Bits of 64: the paper's Hash-6."""


@dataclass(frozen=True, eq=False)
class SliceReduction:
    """What is left of one volume.

    Args:
        slices: indices of the slices that were looked at.
        cover: which of them (by position in ``slices``) stand for which.
    """

    slices: NDArray[np.int64]
    cover: Cover

    @property
    def kept(self) -> list[int]:
        """Indices of the kept slices: axial, from feet to head, from 0."""
        return [int(k) for k in self.slices[self.cover.kept]]

    def removed(self) -> list[tuple[int, int, int]]:
        """Slice left out, kept slice that stands for it, Hamming distance."""
        gone = self.cover.removed
        return [
            (int(self.slices[n]), int(self.slices[self.cover.stands_for[n]]), int(self.cover.distance[n])) for n in gone
        ]


def reduce_slices(
    volume: Volume, threshold: int = DEFAULT_THRESHOLD, window: str = "slice", only: str = ""
) -> SliceReduction:
    """Leave out slices that a kept slice of the same volume stands for.

    All pairs of a volume are eligible, not only neighbours. Slices are numbered along the RAS volume from feet to
    head, whatever the storage order.

    Args:
        volume: the scan.
        threshold: the largest Hamming distance of a double, of 64 bits.
        window: ``"slice"`` as the paper, or ``"robust"``; see ``hash_slices``.
        only: slices that are looked at, as ranges; empty for all.

    Raises:
        InputError: ``only`` names slices that the volume has not (code ``slices``).
    """
    hashes = hash_slices(volume, window)
    chosen = np.array(parse_slices(only), dtype=np.int64) if only else np.arange(len(hashes), dtype=np.int64)
    if chosen.size and chosen.max() >= len(hashes):
        raise InputError(f"slice {chosen.max()} of a volume with {len(hashes)} axial slices", code="slices")
    return SliceReduction(chosen, cover_hashes(hashes[chosen], threshold))


def write_ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as ranges.

    Example:
        >>> write_ranges([0, 1, 2, 3, 4, 7, 9, 10, 11, 12])
        '0-4,7,9-12'
    """
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
