"""Samples of two scans of different patients."""

from __future__ import annotations

import numpy as np

from medssl.errors import InputError
from medssl.loading.plan import ScanIds
from medssl.loading.sampler import PatientSampler


class OtherPatientSampler:
    """A scan as ``PatientSampler`` takes it, and beside it any scan of another patient, drawn evenly.

    A scan without a patient id counts as a patient of its own.

    Args:
        ids: the scans' ids, in store order.
        seed: of the run.

    Raises:
        InputError: all scans are of one patient (``too-few``).
    """

    def __init__(self, ids: ScanIds, seed: int = 0) -> None:
        known = [ids.ids(position).get("patient", -1) for position in range(len(ids))]
        self._patient = np.array([p if p >= 0 else -1 - n for n, p in enumerate(known)], dtype=np.int64)
        if len(np.unique(self._patient)) < 2:
            raise InputError("pairs of different patients need scans of two or more", code="too-few")
        self._first = PatientSampler(ids, seed)

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """``size`` samples of two scans each."""
        return [(one, self._other(one, rng)) for (one,) in self._first.draw(step, size, rng)]

    def _other(self, one: int, rng: np.random.Generator) -> int:
        others = np.flatnonzero(self._patient != self._patient[one])
        return int(others[rng.integers(len(others))])
