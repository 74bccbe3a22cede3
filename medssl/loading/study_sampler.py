"""Which scans a step takes where a sample has several: of one study, or of two patients."""

from __future__ import annotations

import numpy as np

from medssl.errors import InputError, UsageError
from medssl.loading.first_scans import FirstScans
from medssl.loading.plan import ScanIds
from medssl.loading.sampler import PatientSampler


class StudySampler:
    """Samples of several scans of one study: its sequences or phases as natural views of one another.

    Studies are taken as ``PatientSampler`` takes scans, so that no patient stands twice in a batch where there are
    enough. Role ``record`` n of a sample is another scan of the study, drawn without order; a study with fewer scans
    gives some of them again.

    Args:
        ids: the scans' ids, in store order.
        seed: of the run.
        count: scans a sample.

    Raises:
        InputError: there are no scans (``too-few``).
        UsageError: ``count`` is below 1.
    """

    def __init__(self, ids: ScanIds, seed: int = 0, count: int = 2) -> None:
        if count < 1:
            raise UsageError(f"count must be at least 1, got {count}")
        studies: dict[tuple[int, int, int], list[int]] = {}
        for position in range(len(ids)):
            found = ids.ids(position)
            patient, study = found.get("patient", -1), found.get("study", -1)
            studies.setdefault((patient, study, -1 if study >= 0 else position), []).append(position)
        self._members = list(studies.values())
        self._count = count
        self._studies = PatientSampler(FirstScans(ids, [members[0] for members in self._members]), seed)

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """``size`` samples of ``count`` scans each; see ``PatientSampler.draw``."""
        out = []
        for (study,) in self._studies.draw(step, size, rng):
            members = self._members[study]
            order = [members[int(place)] for place in rng.permutation(len(members))]
            out.append(tuple(order[turn % len(order)] for turn in range(self._count)))
        return out


class PairSampler:
    """Samples of two scans of different patients, for views that are matched across bodies.

    Both are taken as ``PatientSampler`` takes scans: with twice as many patients as samples, none stands twice in a
    batch.

    Args:
        ids: the scans' ids, in store order.
        seed: of the run.

    Raises:
        InputError: there are fewer than two patients (``too-few``).
    """

    def __init__(self, ids: ScanIds, seed: int = 0) -> None:
        self._patients = [ids.ids(position).get("patient", -1) for position in range(len(ids))]
        known = {patient for patient in self._patients if patient >= 0}
        if len(known) + self._patients.count(-1) < 2:
            raise InputError("pairs need scans of at least two patients", code="too-few")
        self._single = PatientSampler(ids, seed)

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """``size`` pairs; see ``PatientSampler.draw``."""
        scans = [position for (position,) in self._single.draw(step, 2 * size, rng)]
        out: list[tuple[int, ...]] = []
        while scans:
            first = scans.pop(0)
            # the next of another patient; with very few patients the last may have to be drawn anew
            other = next((n for n, position in enumerate(scans) if self._differ(first, position)), None)
            out.append((first, scans.pop(other) if other is not None else self._other(first, rng)))
            if other is None and scans:
                scans.pop(0)
        return out[:size]

    def _differ(self, one: int, other: int) -> bool:
        return one != other and (self._patients[one] != self._patients[other] or self._patients[one] < 0)

    def _other(self, first: int, rng: np.random.Generator) -> int:
        others = [position for position in range(len(self._patients)) if self._differ(first, position)]
        return others[int(rng.integers(len(others)))]
