"""k-means in cosine or Euclidean distance, the same in every run: pseudo-labels, and prototypes of a queue.

Seeds are chosen as k-means++ does (Arthur and Vassilvitskii, SODA 2007), then Lloyd's rounds follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.errors import InputError
from medssl.objectives.cosine import unit

BLOCK = 65_536
"""Rows that are compared with the centres at once."""


@dataclass(frozen=True)
class Clusters:
    """What k-means found.

    Args:
        labels: ``(N,)`` int64, the nearest centre of each vector.
        centres: ``(count, d)``, of length one where the clusters are spherical.
        inertia: sum of squared distances to the nearest centre, 0-dimensional.
    """

    labels: Tensor
    centres: Tensor
    inertia: Tensor


@torch.no_grad()
def k_means(
    vectors: Tensor,
    count: int,
    generator: torch.Generator,
    *,
    spherical: bool = True,
    rounds: int = 100,
    tolerance: float = 1e-4,
) -> Clusters:
    """Cluster vectors; a function of its arguments alone.

    A cluster that runs empty moves to the vector that is farthest from its centre. With fewer different vectors than
    clusters some stay empty.

    Args:
        vectors: ``(N, d)``.
        count: clusters.
        generator: draws the seeds; a generator seeded alike gives the same clusters.
        spherical: compare by cosine, with centres of length one (Dhillon and Modha, 2001).
        rounds: Lloyd's rounds at most.
        tolerance: stop when no centre has moved farther.

    Raises:
        InputError: there are fewer vectors than clusters (``too-few``), or some are not finite (``values``).

    Example:
        >>> found = k_means(torch.tensor([[1.0, 0.0], [2.0, 0.1], [0.0, 1.0]]), 2, torch.Generator().manual_seed(0))
        >>> bool(found.labels[0] == found.labels[1] != found.labels[2])
        True
    """
    if not 1 <= count <= len(vectors):
        raise InputError(f"cannot make {count} clusters of {len(vectors)} vectors", code="too-few")
    if not bool(torch.isfinite(vectors).all()):
        raise InputError("vectors to be clustered are not finite", code="values")
    rows = unit(vectors) if spherical else vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    centres = _seeds(rows, count, generator)
    labels, nearest = _assign(rows, centres)
    for _ in range(rounds):
        moved = _means(rows, labels, nearest, count)
        moved = unit(moved) if spherical else moved
        shift = (moved - centres).norm(dim=1).max()
        before, centres = labels, moved
        labels, nearest = _assign(rows, centres)
        if float(shift) <= tolerance or bool((labels == before).all()):
            break
    return Clusters(labels, centres, nearest.sum())


def pseudo_labels(vectors: Tensor, count: int, seed: int, *, spherical: bool = True) -> Tensor:
    """Clusters of a data set ``(N,)`` int64: a survey's ``cluster`` column (G-SimCLR, 2009.12007; MCL, 2402.11816)."""
    return k_means(vectors, count, torch.Generator().manual_seed(seed), spherical=spherical).labels


def combined_labels(labels: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """One label of the labels of all stages: the mixed-radix number c₀·K₁·K₂… + c₁·K₂… + … (MCL).

    Args:
        labels: of each stage ``(N,)``, the first stage first; -1 in any of them gives -1.
        counts: clusters of each stage.

    Example:
        >>> combined_labels([torch.tensor([0, 1, 2]), torch.tensor([4, 0, -1])], [3, 5]).tolist()
        [4, 5, -1]
    """
    out = torch.zeros_like(labels[0])
    known = torch.ones_like(labels[0], dtype=torch.bool)
    for label, count in zip(labels, counts, strict=True):
        if int(label.max()) >= count:
            raise ValueError(f"a label of {count} clusters is below {count}, got {int(label.max())}")
        out = out * count + label
        known &= label >= 0
    return torch.where(known, out, -1)


def _seeds(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Centres that are rows, each drawn in proportion to its squared distance to those drawn before."""
    chances = torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device).to(rows.device)
    weight = rows.new_ones(len(rows), dtype=torch.float64)
    distance = rows.new_full((len(rows),), torch.inf)
    chosen = []
    for chance in chances:
        total = weight.cumsum(0)
        place = torch.searchsorted(total, chance * total[-1], right=True).clamp(max=len(rows) - 1)
        chosen.append(place)
        distance = torch.minimum(distance, (rows - rows[place]).square().sum(dim=1))
        # with no different vector left, any will do
        weight = torch.where((distance > 0).any(), distance, torch.ones_like(distance)).double()
    return rows[torch.stack(chosen)]


def _assign(rows: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre of each row, and its squared distance."""
    labels, nearest = [], []
    for part in _parts(rows):
        squared = part.square().sum(1, keepdim=True) - 2 * part @ centres.T + centres.square().sum(1)
        label = squared.argmin(dim=1)
        labels.append(label)
        # small distances lose their digits in the expanded square
        nearest.append((part - centres[label]).square().sum(dim=1))
    return torch.cat(labels), torch.cat(nearest)


def _means(rows: Tensor, labels: Tensor, nearest: Tensor, count: int) -> Tensor:
    # sums as products of matrices: additions by index come in any order on a GPU
    total = rows.new_zeros(count, rows.shape[1])
    sizes = rows.new_zeros(count)
    for part, label in zip(_parts(rows), torch.split(labels, BLOCK), strict=True):
        member = torch.nn.functional.one_hot(label, count).to(rows.dtype)
        total += member.T @ part
        sizes += member.sum(dim=0)
    means = total / sizes.clamp(min=1)[:, None]
    empty = (sizes == 0).nonzero().squeeze(1)
    if len(empty):
        far = nearest.argsort(descending=True, stable=True)[: len(empty)]
        means[empty] = rows[far]
    return means


def _parts(rows: Tensor) -> Iterator[Tensor]:
    yield from torch.split(rows, BLOCK)
