"""Which scans a step takes where patients come back: pairs of time points, near ones oftener than far ones."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from medssl.errors import UsageError
from medssl.loading.first_scans import FirstScans
from medssl.loading.plan import ScanIds
from medssl.loading.sampler import PatientSampler
from medssl.views.crops.distance import distance_law


class TimePairSampler:
    """Samples of two scans of one patient, whose distance in time follows CVRL's law (arXiv 2008.03800).

    A gap t with the density (1 − (t/M)^a) · (a + 1)/(aM) is drawn, M being the patient's longest gap, at most
    ``reach``, and then one of the pairs whose gap is nearest to it, a scan with itself among them (gap 0). Of two time
    points, a = 1 takes both in a quarter of the visits. Patients are taken as ``PatientSampler`` takes them; the order
    in a pair is shuffled. A scan whose time is unknown, or a patient's only one, is paired with itself.

    Args:
        ids: the scans' ids, in store order; ``time`` in any unit.
        seed: of the run.
        power: a; the larger, the more far pairs.
        reach: the longest gap that may be drawn; None for all.

    Raises:
        InputError: there are no scans (``too-few``).
        UsageError: ``power`` or ``reach`` is not above 0.
    """

    def __init__(self, ids: ScanIds, seed: int = 0, power: float = 1.0, reach: float | None = None) -> None:
        if not power > 0 or (reach is not None and not reach > 0):
            raise UsageError(f"power and reach must be above 0, got {power} and {reach}")
        self._power, self._reach = power, reach
        courses: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for position in range(len(ids)):
            found = ids.ids(position)
            patient, time = found.get("patient", -1), found.get("time", -1)
            known = patient >= 0 and time >= 0
            courses[patient if known else -1 - position].append((time, position))
        self._courses = list(courses.values())
        self._patients = PatientSampler(FirstScans(ids, [course[0][1] for course in self._courses]), seed)

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """``size`` samples of two scans each; see ``PatientSampler.draw``."""
        return [self._pair(self._courses[number], rng) for (number,) in self._patients.draw(step, size, rng)]

    def _pair(self, course: list[tuple[int, int]], rng: np.random.Generator) -> tuple[int, int]:
        chance, swapped = float(rng.random()), bool(rng.random() < 0.5)
        times = np.array([time for time, _ in course], dtype=np.float64)
        first, second = np.triu_indices(len(course))
        gaps = np.abs(times[first] - times[second])
        longest = float(gaps.max())
        if self._reach is not None and longest > self._reach:
            inside = gaps <= self._reach
            first, second, gaps = first[inside], second[inside], gaps[inside]
            longest = self._reach
        gap = distance_law(chance, longest, self._power)
        # of two gaps at one distance the shorter is taken
        nearest = float(np.min(gaps[np.abs(gaps - gap) == np.abs(gaps - gap).min()]))
        choices = np.flatnonzero(gaps == nearest)
        at = int(choices[int(rng.integers(len(choices)))])
        pair = course[int(first[at])][1], course[int(second[at])][1]
        return pair[::-1] if swapped else pair
