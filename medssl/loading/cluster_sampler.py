"""Which scans a step takes where scans have been clustered: all of different clusters, or all of one.

The first keeps near copies from repelling each other (G-SimCLR, arXiv 2009.12007); the second, in a later stage, has
only what resembles each other repel, so that what told the clusters apart is of no more use (MCL, arXiv 2402.11816).
Labels come from a survey (``pairing.k_means.pseudo_labels``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medssl import draws
from medssl.errors import InputError, UsageError
from medssl.loading.even_batches import even_batches, within_capacity
from medssl.loading.plan import ScanIds
from medssl.loading.sampler import PatientSampler

_SHUFFLE, _ROUND, _LABEL, _TURN = 4, 5, 6, 7
"""Last part of the address of each kind of draw, after ``draws.SAMPLE``, beside those of ``loading.sampler``."""


@dataclass(frozen=True)
class _Plan:
    """Steps of an epoch, and how often a cluster and a patient may stand in a batch of a size."""

    size: int
    steps: int
    clusters: int
    patients: int


class ClusterUniqueSampler:
    """Batches in which no cluster and no patient stands twice.

    An epoch has as many steps as the sizes of clusters and patients allow for, and takes no scan twice; scans of a
    cluster that is too large for that have their turn in later epochs. With fewer clusters (patients) than samples,
    none stands more often in a batch than it must. Which scans a step takes is a function of the seed, the step and
    the size alone; one epoch is kept in memory.

    Args:
        ids: the scans' ids, in store order.
        labels: the cluster of each scan; scans with a negative label are clusters of their own.
        seed: of the run.
        share: share of the steps that are so; the others take patient by patient. Below 1 some near negatives, which
            are the useful hard ones too, stay in the game.

    Raises:
        InputError: there are no scans (``too-few``).
        UsageError: the labels are not one a scan, or ``share`` is not in (0, 1].
    """

    def __init__(self, ids: ScanIds, labels: Sequence[int], seed: int = 0, share: float = 1.0) -> None:
        if len(labels) != len(ids):
            raise UsageError(f"expected a cluster for each of {len(ids)} scans, got {len(labels)}")
        if not 0 < share <= 1:
            raise UsageError(f"share must be in (0, 1], got {share}")
        self._random = PatientSampler(ids, seed)
        self._seed, self._share = seed, share
        patients = [ids.ids(position).get("patient", -1) for position in range(len(ids))]
        # what is unknown is unlike everything else
        self._patients = [p if p >= 0 else -1 - n for n, p in enumerate(patients)]
        self._clusters = [int(c) if c >= 0 else -1 - n for n, c in enumerate(labels)]
        self._sizes = Counter(self._clusters)
        self._plans: dict[int, _Plan] = {}
        self._kept: tuple[int, int, list[list[int]]] | None = None

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """``size`` samples of one scan each; ``rng`` is used where there are fewer patients than samples."""
        before, after = int(step * self._share), int((step + 1) * self._share)
        if before == after:
            return self._random.draw(step, size, rng)
        if size not in self._plans:
            self._plans[size] = self._plan(size)
        plan = self._plans[size]
        if not plan.steps:
            return self._random.draw(step, size, rng)
        epoch, at = divmod(before, plan.steps)
        if self._kept is None or self._kept[:2] != (epoch, size):
            self._kept = (epoch, size, self._epoch(epoch, plan))
        return [(scan,) for scan in self._kept[2][at]]

    def _plan(self, size: int) -> _Plan:
        """The most steps for which there are scans enough: those of a group count as often as it may stand in them."""
        clusters, patients = (-(-size // len(set(groups))) for groups in (self._clusters, self._patients))
        low, high = 0, len(self._clusters) // size
        while low < high:
            steps = (low + high + 1) // 2
            kept = within_capacity(self._clusters, self._patients, (steps * clusters, steps * patients))
            low, high = (steps, high) if len(kept) >= steps * size else (low, steps - 1)
        return _Plan(size, low, clusters, patients)

    def _epoch(self, epoch: int, plan: _Plan) -> list[list[int]]:
        rng = draws.generator(self._seed, draws.SAMPLE, epoch, _SHUFFLE)
        most = plan.steps * plan.clusters, plan.steps * plan.patients
        order = self._turns(epoch, most[0])
        kept = within_capacity([self._clusters[n] for n in order], [self._patients[n] for n in order], most)
        scans = [order[n] for n in rng.permutation(kept).tolist()]
        parted = even_batches(
            _copies([self._clusters[n] for n in scans], plan.clusters),
            _copies([self._patients[n] for n in scans], plan.patients),
            plan.steps,
            plan.size,
        )
        batches = [[scans[n] for n in rng.permutation(batch)[: plan.size].tolist()] for batch in parted]
        taken = {scan for batch in batches for scan in batch}
        spare = [scan for scan in order if scan not in taken]
        for batch in batches:
            # in another order a scan less may have been kept than was planned with: then any other serves
            while len(batch) < plan.size:
                batch.append(spare.pop())
        return [batches[n] for n in rng.permutation(plan.steps).tolist()]

    def _turns(self, epoch: int, most: int) -> list[int]:
        """All scans, those first whose turn it is: of a cluster with more than ``most``, others each epoch."""
        order = draws.generator(self._seed, draws.SAMPLE, 0, _TURN).permutation(len(self._clusters)).tolist()
        ranks: dict[int, int] = defaultdict(int)
        keys = {}
        for scan in order:
            cluster = self._clusters[scan]
            keys[scan] = (ranks[cluster] - epoch * most) % self._sizes[cluster]
            ranks[cluster] += 1
        return sorted(order, key=keys.__getitem__)


def _copies(groups: Sequence[int], count: int) -> list[int]:
    """Each group parted evenly into ``count`` groups."""
    seen: dict[int, int] = defaultdict(int)
    numbers: dict[tuple[int, int], int] = {}
    out = []
    for group in groups:
        seen[group] += 1
        out.append(numbers.setdefault((group, seen[group] % count), len(numbers)))
    return out


class ClusterRestrictedSampler:
    """Batches of one cluster each; clusters take turns, in a new order each round.

    Within a cluster scans are taken as ``PatientSampler`` takes them. Clusters with fewer scans than a batch has
    samples, or with a single patient, who is no negative of its own, are left out.

    Args:
        ids: the scans' ids, in store order.
        labels: the cluster of each scan; scans with a negative label are left out. After several stages, the
            ``combined_labels`` of all of them.
        seed: of the run.

    Raises:
        UsageError: the labels are not one a scan.
    """

    def __init__(self, ids: ScanIds, labels: Sequence[int], seed: int = 0) -> None:
        if len(labels) != len(ids):
            raise UsageError(f"expected a cluster for each of {len(ids)} scans, got {len(labels)}")
        members: dict[int, list[int]] = defaultdict(list)
        for position, label in enumerate(labels):
            if label >= 0:
                members[int(label)].append(position)
        self._seed = seed
        self._members = [members[label] for label in sorted(members) if _patients(ids, members[label]) > 1]
        self._samplers = [
            PatientSampler(_Some(ids, scans), draws.torch_seed(seed, draws.SAMPLE, number, _LABEL))
            for number, scans in enumerate(self._members)
        ]

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """``size`` samples of one scan each.

        Raises:
            InputError: no cluster has as many scans, of two patients or more (``too-few``).
        """
        usable = [number for number, scans in enumerate(self._members) if len(scans) >= size]
        if not usable:
            largest = max(map(len, self._members), default=0)
            raise InputError(
                f"no cluster fills a batch of {size}: the largest of two patients or more has {largest} scans",
                code="too-few",
                hint="use fewer clusters or a smaller batch",
            )
        turn, place = divmod(step, len(usable))
        order = draws.generator(self._seed, draws.SAMPLE, turn, _ROUND).permutation(len(usable))
        number = usable[int(order[place])]
        return [(self._members[number][scan],) for (scan,) in self._samplers[number].draw(turn, size, rng)]


class _Some:
    """The ids of some scans."""

    def __init__(self, source: ScanIds, positions: Sequence[int]) -> None:
        self._source, self._positions = source, positions

    def __len__(self) -> int:
        return len(self._positions)

    def ids(self, position: int) -> Mapping[str, int]:
        return self._source.ids(self._positions[position])

    def modality(self, position: int) -> str:
        return self._source.modality(self._positions[position])

    def targets(self, position: int) -> Mapping[str, float]:
        return self._source.targets(self._positions[position])


def _patients(ids: ScanIds, positions: Sequence[int]) -> int:
    """How many patients are known; unknown ones are nobody's negatives."""
    found = {ids.ids(position).get("patient", -1) for position in positions}
    return len(found - {-1})
