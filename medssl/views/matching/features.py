"""A matcher by features: the point of the other scan whose vector is most alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medssl.errors import UsageError
from medssl.views.grid import Array
from medssl.views.view import Scan


@dataclass(frozen=True, eq=False)
class Described:
    """Points of a scan with the vectors that an encoder gave them.

    Args:
        points_mm: ``(n, 3)`` millimetres.
        vectors: ``(n, d)`` of any length; they are compared by their cosine.
    """

    points_mm: Array
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.points_mm.shape != (len(self.vectors), 3) or self.vectors.ndim != 2 or not len(self.vectors):
            raise UsageError(
                f"expected points (n, 3) and vectors (n, d), got {self.points_mm.shape} and {self.vectors.shape}"
            )


class FeatureMatcher:
    """The most similar point, by the features of any encoder (as Alice matches by frozen anatomical embeddings).

    Args:
        scans: a record's id (``Scan.ids["record"]``) to its points; others cannot be matched.
        least: the least cosine of a match; below it there is none (Alice: 0.7).
        reach_mm: how far the nearest described point may lie from the one that is asked for.
    """

    def __init__(self, scans: Mapping[int, Described], least: float = 0.7, reach_mm: float = 20.0) -> None:
        self._scans = {
            record: (np.asarray(scan.points_mm, dtype=np.float64), _normalised(scan.vectors))
            for record, scan in scans.items()
        }
        self._least = least
        self._reach = reach_mm

    def place(self, source: Scan, point_mm: Array, target: Scan) -> Array | None:
        """The target's point with the highest cosine to the source's nearest point."""
        here = self._scans.get(source.ids.get("record", -1))
        there = self._scans.get(target.ids.get("record", -1))
        if here is None or there is None:
            return None
        away = np.linalg.norm(here[0] - point_mm, axis=1)
        nearest = int(away.argmin())
        if away[nearest] > self._reach:
            return None
        alike = there[1] @ here[1][nearest]
        best = int(alike.argmax())
        if alike[best] < self._least:
            return None
        # what lies between described points is carried over
        out: Array = there[0][best] + (point_mm - here[0][nearest])
        return out


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    vectors = np.asarray(vectors, dtype=np.float32)
    out: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return out
