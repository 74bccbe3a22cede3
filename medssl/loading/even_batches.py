"""Parting scans into batches in which neither a cluster nor a patient stands twice.

Clusters and patients are the two sides of a bipartite graph, scans its edges. A batch without repetition is a set of
edges that meet nowhere, and parting all edges into B such sets is colouring them with B colours. That can be done
exactly when no node has more than B edges (Kőnig, 1916), by exchanging two colours along a path wherever an edge finds
none free at both ends; and the sets can be made equally large the same way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence


def even_batches(clusters: Sequence[int], patients: Sequence[int], steps: int, size: int) -> list[list[int]]:
    """Positions of scans, in ``steps`` batches of ``size`` or more; no cluster or patient twice in any.

    Args:
        clusters: of each scan; none more than ``steps`` times.
        patients: of each scan; none more than ``steps`` times.
        steps: batches.
        size: wanted in each; all have as many where there are ``steps · size`` scans.

    Example:
        >>> even_batches([0, 0, 1, 1], [5, 6, 5, 6], 2, 2)
        [[0, 3], [1, 2]]
    """
    colouring = _Colouring(clusters, patients, steps)
    for scan in range(len(clusters)):
        colouring.add(scan)
    colouring.level(size)
    return [sorted(members) for members in colouring.members]


def within_capacity(clusters: Sequence[int], patients: Sequence[int], most: tuple[int, int]) -> list[int]:
    """Positions of scans, so many that no cluster and no patient has more than it may.

    Scans of which neither side has too many are all kept; of those with one such side as many as it may have; those
    with two come last. Among equals the earlier ones are kept.

    Args:
        clusters: of each scan.
        patients: of each scan.
        most: scans of a cluster, and of a patient.

    Example:
        >>> within_capacity([0, 0, 0, 1], [5, 6, 6, 6], (2, 2))
        [0, 1, 3]
    """
    sides = tuple(zip((clusters, patients), most, strict=True))
    full = [{node for node, count in Counter(nodes).items() if count > room} for nodes, room in sides]
    order = sorted(range(len(clusters)), key=lambda n: (clusters[n] in full[0]) + (patients[n] in full[1]))
    taken: tuple[dict[int, int], dict[int, int]] = (defaultdict(int), defaultdict(int))
    kept = []
    for scan in order:
        if taken[0][clusters[scan]] < most[0] and taken[1][patients[scan]] < most[1]:
            kept.append(scan)
            taken[0][clusters[scan]] += 1
            taken[1][patients[scan]] += 1
    return sorted(kept)


class _Colouring:
    """Colours of edges, as kept at both of their ends."""

    def __init__(self, clusters: Sequence[int], patients: Sequence[int], colours: int) -> None:
        self._ends = (clusters, patients)
        self._colours = colours
        self._at: tuple[dict[int, dict[int, int]], ...] = (defaultdict(dict), defaultdict(dict))
        """Side, node, colour → edge."""
        self.members: list[set[int]] = [set() for _ in range(colours)]

    def add(self, edge: int) -> None:
        """Give an edge a colour; later edges begin at later colours, which keeps the sets about even."""
        here, there = (self._at[side][self._ends[side][edge]] for side in (0, 1))
        turn = edge % self._colours
        one = self._free(here, turn)
        other = self._free(there, one)
        if other != one and other in here:
            # no colour is free at both ends: `one` is freed at the patient by exchanging the two along a path, which
            # cannot lead to the cluster, since each of its cluster's is entered by `one`
            self._exchange(self._path(1, self._ends[1][edge], one, other), one, other)
            other = one
        self._set(edge, other)

    def level(self, size: int) -> None:
        """Move edges from large sets to those below ``size``."""
        large = [colour for colour, members in enumerate(self.members) if len(members) > size]
        for small, members in enumerate(self.members):
            while len(members) < size and large:
                if len(self.members[large[-1]]) <= size:
                    large.pop()
                    continue
                path = self._lengthening(large[-1], small)
                self._exchange(path, large[-1], small)

    def _lengthening(self, large: int, small: int) -> list[int]:
        """A path that begins and ends with an edge of the larger set; there is one, as it is larger."""
        for edge in sorted(self.members[large]):
            cluster = self._ends[0][edge]
            if small not in self._at[0][cluster]:
                path = self._path(0, cluster, large, small)
                if len(path) % 2:
                    return path
        raise RuntimeError("a larger set of edges has no path that a smaller one can grow by")

    def _path(self, side: int, node: int, one: int, other: int) -> list[int]:
        """Edges of two colours in turn, from a node on as far as they go."""
        found = []
        edge = self._at[side][node].get(one)
        while edge is not None:
            found.append(edge)
            side, one, other = 1 - side, other, one
            edge = self._at[side][self._ends[side][edge]].get(one)
        return found

    def _exchange(self, path: list[int], one: int, other: int) -> None:
        colours = [one if edge in self.members[one] else other for edge in path]
        for edge, colour in zip(path, colours, strict=True):
            self.members[colour].remove(edge)
            for side in (0, 1):
                del self._at[side][self._ends[side][edge]][colour]
        for edge, colour in zip(path, colours, strict=True):
            self._set(edge, other if colour == one else one)

    def _set(self, edge: int, colour: int) -> None:
        self.members[colour].add(edge)
        for side in (0, 1):
            self._at[side][self._ends[side][edge]][colour] = edge

    def _free(self, used: dict[int, int], first: int) -> int:
        """The next colour from ``first`` on that a node has no edge of."""
        return next(c % self._colours for c in range(first, first + self._colours) if c % self._colours not in used)
