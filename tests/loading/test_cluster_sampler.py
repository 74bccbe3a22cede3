"""Batches across clusters and within one: what stands in a batch, how an epoch is used up, and what decides it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from medssl import draws
from medssl.errors import InputError, UsageError
from medssl.loading.cluster_sampler import ClusterRestrictedSampler, ClusterUniqueSampler
from medssl.loading.plan import Sampler


@dataclass(frozen=True)
class Ids:
    """The patients of some scans."""

    patients: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.patients)

    def ids(self, position: int) -> Mapping[str, int]:
        """The patient alone."""
        return {"patient": self.patients[position]}

    def modality(self, position: int) -> str:
        """Unknown."""
        return ""

    def targets(self, position: int) -> Mapping[str, float]:
        """None."""
        return {}


def draw(sampler: Sampler, step: int, size: int) -> list[int]:
    return [position for (position,) in sampler.draw(step, size, draws.generator(0, draws.SAMPLE, step))]


def clustered(seed: int, scans: int, clusters: int, patients: int) -> tuple[Ids, list[int]]:
    rng = np.random.default_rng(seed)
    labels = [*range(clusters), *rng.integers(0, clusters, scans - clusters).tolist()]
    return Ids(tuple(rng.integers(0, patients, scans).tolist())), labels


@pytest.mark.parametrize("seed", range(5))
def test_no_cluster_and_no_patient_stands_twice(seed: int) -> None:
    ids, labels = clustered(seed, scans=120, clusters=10, patients=60)
    sampler = ClusterUniqueSampler(ids, labels, seed)
    for step in range(60):
        batch = draw(sampler, step, 6)
        assert len({labels[scan] for scan in batch}) == 6
        assert len({ids.patients[scan] for scan in batch}) == 6


def test_an_epoch_takes_no_scan_twice_and_all_where_clusters_are_equal() -> None:
    labels = [n % 4 for n in range(24)]
    sampler = ClusterUniqueSampler(Ids(tuple(range(24))), labels)
    epochs = [[scan for step in range(6) for scan in draw(sampler, 6 * epoch + step, 4)] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_large_cluster_has_its_turn_in_later_epochs() -> None:
    # 12 of cluster 0, 4 of the others: 4 batches an epoch can hold one of cluster 0 each
    labels = [0] * 12 + [1] * 2 + [2] * 2
    sampler = ClusterUniqueSampler(Ids(tuple(range(16))), labels)
    for epoch in range(10):
        batches = [draw(sampler, 4 * epoch + step, 2) for step in range(4)]
        assert all(len({labels[scan] for scan in batch}) == 2 for batch in batches)
        assert len({scan for batch in batches for scan in batch}) == 8
    taken = Counter(scan for step in range(24) for scan in draw(sampler, step, 2))
    assert set(taken) == set(range(16))
    assert {taken[scan] for scan in range(12)} == {2}


def test_fewer_clusters_than_samples_come_as_evenly_as_possible() -> None:
    labels = [n % 3 for n in range(30)]
    sampler = ClusterUniqueSampler(Ids(tuple(range(30))), labels)
    for step in range(20):
        counts = Counter(labels[scan] for scan in draw(sampler, step, 5))
        assert sorted(counts.values()) == [1, 2, 2]


@pytest.mark.parametrize("seed", range(6))
def test_both_hold_in_every_batch_of_uneven_clusters_and_patients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.geometric(0.2, 300).tolist()
    ids = Ids(tuple(rng.geometric(0.05, 300).tolist()))
    sampler = ClusterUniqueSampler(ids, labels, seed)
    plan = sampler._plan(8)
    assert plan.steps >= 10
    for epoch in range(2):
        batches = [draw(sampler, epoch * plan.steps + step, 8) for step in range(plan.steps)]
        assert len({scan for batch in batches for scan in batch}) == 8 * plan.steps
        for batch in batches:
            assert len({labels[scan] for scan in batch}) == 8
            assert len({ids.patients[scan] for scan in batch}) == 8


def test_one_patient_in_all_clusters_is_matched_around() -> None:
    # cluster 0 could take patient 0 or 1, cluster 1 patient 0 alone: only one of the two choices works
    ids = Ids((0, 1, 0, 2, 3))
    labels = [0, 0, 1, 2, 2]
    for seed in range(20):
        batch = draw(ClusterUniqueSampler(ids, labels, seed), 0, 3)
        assert {ids.patients[scan] for scan in batch} >= {0, 1}
        assert {labels[scan] for scan in batch} == {0, 1, 2}


def test_unknown_clusters_and_patients_are_unlike_all_others() -> None:
    sampler = ClusterUniqueSampler(Ids((-1,) * 6), [-1] * 6)
    assert sorted(draw(sampler, 0, 3) + draw(sampler, 1, 3)) == list(range(6))


def test_a_share_of_the_steps_is_random() -> None:
    labels = [n % 4 for n in range(24)]
    sampler = ClusterUniqueSampler(Ids(tuple(range(24))), labels, share=0.5)
    unique = [len({labels[scan] for scan in draw(sampler, step, 4)}) == 4 for step in range(200)]
    assert all(unique[1::2])
    assert 0 < sum(unique[::2]) < 60
    # the steps across clusters are those that would come without the others
    every = ClusterUniqueSampler(Ids(tuple(range(24))), labels)
    assert [draw(sampler, 2 * n + 1, 4) for n in range(12)] == [draw(every, n, 4) for n in range(12)]


@pytest.mark.parametrize("kind", [ClusterUniqueSampler, ClusterRestrictedSampler])
def test_a_draw_is_a_function_of_seed_step_and_size(
    kind: type[ClusterUniqueSampler] | type[ClusterRestrictedSampler],
) -> None:
    ids, labels = clustered(1, scans=80, clusters=5, patients=40)
    one, two, other = kind(ids, labels, 1), kind(ids, labels, 1), kind(ids, labels, 2)
    for step in range(40):
        draw(two, step, 4)
    found = [draw(one, step, 4) for step in (37, 3, 12)]
    assert found == [draw(two, step, 4) for step in (37, 3, 12)]
    assert found != [draw(other, step, 4) for step in (37, 3, 12)]


def test_all_of_a_batch_share_a_cluster_and_clusters_take_turns() -> None:
    ids, labels = clustered(2, scans=60, clusters=4, patients=30)
    sampler = ClusterRestrictedSampler(ids, labels)
    found = []
    for step in range(40):
        batch = draw(sampler, step, 5)
        assert len({labels[scan] for scan in batch}) == 1
        assert len({ids.patients[scan] for scan in batch}) == 5
        found.append(labels[batch[0]])
    assert all(sorted(found[4 * n : 4 * n + 4]) == [0, 1, 2, 3] for n in range(10))
    assert len({tuple(found[4 * n : 4 * n + 4]) for n in range(10)}) > 1


def test_small_clusters_unknown_ones_and_those_of_one_patient_are_left_out() -> None:
    ids = Ids((0, 1, 2, 3, 4, 5, 9, 9, 9, 9, 7, 8, 6, 5))
    labels = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, -1, -1, -1, -1]
    sampler = ClusterRestrictedSampler(ids, labels)
    assert {scan for step in range(8) for scan in draw(sampler, step, 3)} == {0, 1, 2, 3}
    with pytest.raises(InputError, match="no cluster fills a batch of 5: the largest of two patients or more has 4"):
        draw(sampler, 0, 5)


def test_labels_and_shares_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="a cluster for each of 2 scans, got 3"):
        ClusterUniqueSampler(Ids((0, 1)), [0, 1, 2])
    with pytest.raises(UsageError, match="a cluster for each of 2 scans, got 1"):
        ClusterRestrictedSampler(Ids((0, 1)), [0])
    with pytest.raises(UsageError, match=r"share must be in \(0, 1\], got 0"):
        ClusterUniqueSampler(Ids((0, 1)), [0, 1], share=0.0)
