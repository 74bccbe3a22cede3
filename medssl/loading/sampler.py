"""Which scans a step takes: patient by patient, no patient twice in a batch."""

from __future__ import annotations

import numpy as np

from medssl import draws
from medssl.errors import InputError
from medssl.loading.plan import ScanIds

_PATIENT, _SCANS, _EPOCH = 1, 2, 3
"""Last part of the address of each kind of draw, after ``draws.SAMPLE``; the step's own draw has none."""


class PatientSampler:
    """Takes patients in a new order each epoch, and a patient's scans in turn.

    With at least as many patients as the batch has samples, no patient stands twice in a batch, and within an epoch
    (patients // size steps) no patient comes twice. With fewer, each comes as often as any other, or once more. Scans
    without a patient id count as patients of their own. Which scans a step takes is a function of the seed, the step
    and the size alone.

    Args:
        ids: the scans' ids, in store order.
        seed: of the run.

    Raises:
        InputError: there are no scans (``too-few``).
    """

    def __init__(self, ids: ScanIds, seed: int = 0) -> None:
        groups: dict[tuple[bool, int], list[int]] = {}
        for position in range(len(ids)):
            patient = ids.ids(position).get("patient", -1)
            groups.setdefault((patient >= 0, patient if patient >= 0 else position), []).append(position)
        if not groups:
            raise InputError("there is no scan to draw from", code="too-few")
        self._seed = seed
        # each patient's scans in an order of its own: neighbouring visits then take different scans
        self._scans: list[list[int]] = []
        for number, scans in enumerate(groups.values()):
            order = draws.generator(seed, draws.SAMPLE, number, _SCANS).permutation(len(scans))
            self._scans.append([scans[int(place)] for place in order])

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """``size`` samples of one scan each.

        Args:
            step: the run's step.
            size: samples over all processes.
            rng: shuffles the samples' order where patients come several times.
        """
        count = len(self._scans)
        if count >= size:
            epoch, at = divmod(step, count // size)
            order = self._order(epoch)[at * size : (at + 1) * size]
            return [(self._scan(int(patient), epoch),) for patient in order]
        whole, rest = divmod(size, count)
        chosen = [(patient, step * (whole + 1) + turn) for turn in range(whole) for patient in range(count)]
        # those who come once more take turns in a fixed order: over the steps nobody comes more than once more often
        order = self._order(0)
        chosen += [(int(order[(step * rest + turn) % count]), step * (whole + 1) + whole) for turn in range(rest)]
        return [(self._scan(*chosen[place]),) for place in rng.permutation(size)]

    def _order(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return draws.generator(self._seed, draws.SAMPLE, epoch, _PATIENT).permutation(len(self._scans))

    def _scan(self, patient: int, visit: int) -> int:
        scans = self._scans[patient]
        return scans[visit % len(scans)]


class ScanSampler:
    """Takes every scan once an epoch, whoever the patient is: a batch may hold one patient several times.

    Args:
        ids: the scans' ids, in store order.
        seed: of the run.

    Raises:
        InputError: there are no scans (``too-few``).
    """

    def __init__(self, ids: ScanIds, seed: int = 0) -> None:
        if not len(ids):
            raise InputError("there is no scan to draw from", code="too-few")
        self._count = len(ids)
        self._seed = seed

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """The next ``size`` scans of an endless row of shuffled epochs."""
        return [(self._at(step * size + slot),) for slot in range(size)]

    def _at(self, visit: int) -> int:
        epoch, place = divmod(visit, self._count)
        order = draws.generator(self._seed, draws.SAMPLE, epoch, _EPOCH).permutation(self._count)
        return int(order[place])
