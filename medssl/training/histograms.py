"""Histograms of similarity over a run, for its folder: few enough to be kept whole, however long it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FILE = "health.npz"
"""Its name in the run folder."""

MOST = 64
"""Looks that are kept; when there are more, every second one goes."""


class Histograms:
    """Counts of similarities by kind of pair, look after look.

    Args:
        entries: what ``plain`` gave, or nothing.

    Example:
        >>> kept = Histograms()
        >>> for step in range(200):
        ...     kept.add(step, "main", {"positive": torch.ones(4, dtype=torch.long)})
        >>> kept.arrays()["step"][[0, 1, 2, -2, -1]].tolist()
        [0, 4, 8, 196, 199]
    """

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        self._entries = [dict(entry) for entry in entries]

    def add(self, step: int, stage: str, counts: Mapping[str, Tensor]) -> None:
        """Keep a look; the first and the last one always stay."""
        number = self._entries[-1]["number"] + 1 if self._entries else 0
        stride = self._entries[-1]["stride"] if self._entries else 1
        kept = [entry for entry in self._entries if entry["number"] % stride == 0]
        while len(kept) >= MOST:
            stride *= 2
            kept = [entry for entry in kept if entry["number"] % stride == 0]
        new = {"number": number, "stride": stride, "step": step, "stage": stage, "counts": dict(counts)}
        self._entries = [*kept, new]

    def plain(self) -> list[dict[str, Any]]:
        """What a checkpoint must hold."""
        return self._entries

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """``step`` and ``stage`` ``(looks,)`` and, for every kind of pair, counts ``(looks, bins)`` over [−1, 1]."""
        if not self._entries:
            return {}
        kinds = list(dict.fromkeys(kind for entry in self._entries for kind in entry["counts"]))
        bins = max(len(counts) for entry in self._entries for counts in entry["counts"].values())
        none = torch.zeros(bins, dtype=torch.long)
        counts = {kind: [entry["counts"].get(kind, none).numpy() for entry in self._entries] for kind in kinds}
        return {
            "step": np.array([entry["step"] for entry in self._entries], dtype=np.int64),
            "stage": np.array([entry["stage"] for entry in self._entries], dtype=np.str_),
            **{kind: np.stack(rows) for kind, rows in counts.items()},
        }
