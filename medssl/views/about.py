"""What an augmentation may know of the view that it changes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """Facts of a view, known before its voxels are.

    Args:
        spacing_mm: distance of its voxels along i, j and k.
        modality: ``CT``, ``MR``, … or empty where unknown.
        low: the scan's value that is 0 in the view.
        high: the value that is 1.
    """

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    modality: str = ""
    low: float = -1000.0
    high: float = 1000.0

    @property
    def through(self) -> int:
        """The axis across the slices: the one of the longest voxels, the last where all are alike.

        Example:
            >>> About((5.0, 1.0, 1.0)).through, About().through
            (0, 2)
        """
        longest = max(self.spacing_mm)
        return max(axis for axis, length in enumerate(self.spacing_mm) if length >= longest * 0.99)

    @property
    def may_be_ct(self) -> bool:
        """Whether effects of CT make sense: it is CT, or nobody knows what it is."""
        return self.modality.strip().upper() in ("", "CT")

    @property
    def may_be_mr(self) -> bool:
        """Whether effects of MR make sense: it is not CT, PET or another modality that is named as such."""
        return self.modality.strip().upper() not in ("CT", "PT", "PET", "NM", "US", "CR", "DX", "XA")

    def to_range(self, value: float) -> float:
        """A value of the scan in the view's range, where 0 is ``low`` and 1 is ``high``."""
        return (value - self.low) / (self.high - self.low)


PLAIN = About()
"""A view of which nothing is known: 1 mm, any modality, −1000 to 1000."""
