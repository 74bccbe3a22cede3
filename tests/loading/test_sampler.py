from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from medssl import draws
from medssl.errors import InputError
from medssl.loading.sampler import PatientSampler, ScanSampler
from medssl.loading.study_sampler import PairSampler


@dataclass(frozen=True)
class Ids:
    """The patients of some scans."""

    patients: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.patients)

    def ids(self, position: int) -> Mapping[str, int]:
        """The patient alone."""
        return {"patient": self.patients[position]}


def _draw(sampler: PatientSampler, step: int, size: int, seed: int = 0) -> list[int]:
    return [position for (position,) in sampler.draw(step, size, draws.generator(seed, draws.SAMPLE, step))]


def test_no_patient_stands_twice_in_a_batch() -> None:
    patients = tuple(int(n) for n in np.random.default_rng(0).integers(0, 7, 40))
    sampler = PatientSampler(Ids(patients))
    for step in range(100):
        taken = [patients[position] for position in _draw(sampler, step, 5)]
        assert len(set(taken)) == 5


def test_each_epoch_is_a_permutation() -> None:
    sampler = PatientSampler(Ids(tuple(range(12))))
    orders = set()
    for epoch in range(5):
        taken = [position for step in range(3) for position in _draw(sampler, 3 * epoch + step, 4)]
        assert sorted(taken) == list(range(12))
        orders.add(tuple(taken))
    assert len(orders) == 5


def test_every_scan_of_a_patient_has_its_turn() -> None:
    sampler = PatientSampler(Ids((0, 0, 0, 1, 2, 3)))
    taken = [position for step in range(12) for position in _draw(sampler, step, 2)]
    counts = np.bincount(taken, minlength=6)
    assert counts.tolist() == [2, 2, 2, 6, 6, 6]


@pytest.mark.parametrize("size", [3, 4, 7, 8])
def test_fewer_patients_than_samples_come_as_evenly_as_possible(size: int) -> None:
    patients = (0, 0, 0, 1, 2)
    sampler = PatientSampler(Ids(patients))
    total = np.zeros(3, dtype=int)
    for step in range(60):
        taken = _draw(sampler, step, size)
        counts = np.bincount([patients[position] for position in taken], minlength=3)
        assert counts.max() - counts.min() <= 1
        of_first = [position for position in taken if patients[position] == 0]
        assert len(set(of_first)) == min(3, len(of_first))
        total += counts
    assert total.max() - total.min() <= 1


def test_scans_without_a_patient_are_patients_of_their_own() -> None:
    sampler = PatientSampler(Ids((-1, -1, -1, -1)))
    assert sorted(_draw(sampler, 0, 4)) == [0, 1, 2, 3]


def test_a_draw_is_a_function_of_seed_and_step() -> None:
    ids = Ids(tuple(range(50)))
    one, two, other = PatientSampler(ids, 1), PatientSampler(ids, 1), PatientSampler(ids, 2)
    later = _draw(one, 17, 8)
    for step in range(17):
        _draw(two, step, 8)
    assert _draw(two, 17, 8) == later
    assert _draw(other, 17, 8) != later


def test_no_scans_are_refused() -> None:
    with pytest.raises(InputError, match="no scan to draw from"):
        PatientSampler(Ids(()))


def test_scans_come_once_an_epoch_whoever_the_patient_is() -> None:
    sampler = ScanSampler(Ids((0, 0, 0, 0, 1)))
    taken = [position for step in range(10) for (position,) in sampler.draw(step, 3, np.random.default_rng(0))]
    for epoch in range(6):
        assert sorted(taken[5 * epoch : 5 * epoch + 5]) == [0, 1, 2, 3, 4]
    assert len({tuple(taken[5 * n : 5 * n + 5]) for n in range(6)}) > 3


@pytest.mark.parametrize("patients", [(0, 1), (0, 0, 1, 2), (0, 1, 2, 3, 4, 5), (-1, -1, -1)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pairs_are_of_two_patients(patients: tuple[int, ...], size: int) -> None:
    sampler = PairSampler(Ids(patients), seed=2)
    seen = set()
    for step in range(40):
        pairs = sampler.draw(step, size, draws.generator(2, draws.SAMPLE, step))
        assert len(pairs) == size
        for one, other in pairs:
            assert one != other
            assert patients[one] != patients[other] or patients[one] == -1
            seen |= {one, other}
        if len(patients) == 6 and size == 3:
            assert sorted(position for pair in pairs for position in pair) == [0, 1, 2, 3, 4, 5]
        assert pairs == sampler.draw(step, size, draws.generator(2, draws.SAMPLE, step))
    assert seen == set(range(len(patients)))


def test_pairs_need_two_patients() -> None:
    with pytest.raises(InputError, match="at least two patients"):
        PairSampler(Ids((4, 4, 4)))
