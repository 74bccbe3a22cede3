"""Groups of scans (studies, courses of visits) seen as their first scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medssl.loading.plan import ScanIds


@dataclass(frozen=True)
class FirstScans:
    """The ids of the first scan of each group, so that a sampler of scans takes groups.

    Args:
        source: the ids of all scans.
        first: positions there.
    """

    source: ScanIds
    first: list[int]

    def __len__(self) -> int:
        return len(self.first)

    def ids(self, position: int) -> Mapping[str, int]:
        """Of the group's first scan."""
        return self.source.ids(self.first[position])

    def modality(self, position: int) -> str:
        """Of the group's first scan."""
        return self.source.modality(self.first[position])

    def targets(self, position: int) -> Mapping[str, float]:
        """Of the group's first scan."""
        return self.source.targets(self.first[position])
