"""Several sequences or phases of one study as natural views (ColloSSL, IMWUT 2022, arXiv 2202.00758).

Of the sequences that a study has, the one that resembles an anchor's sequence most gives its positive: the same place,
seen otherwise. Other places in all other sequences are negatives, the more like the anchor's sequence the heavier.
Weights are free of scale. The paper draws one permutation of the batch for negatives, which may hit the anchor's own
place; here all other patients of the batch are taken. (Its release has the sign of the similarity reversed.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.pairing.members import Members
from medssl.pairing.pairs import differ, same
from medssl.pairing.relation import Relation

WIDTHS = tuple(10.0 ** (-4 + 6 * n / 11) for n in range(12))
"""Twelve variances of Gaussian kernels, 1e-4 to 100; the paper's range, evenly in the logarithm."""
LEAST = 1e-4
"""Smallest distance of two sequences, so that weights stay finite."""
LEVELS = 16
"""Values at which the distribution of a view's values is taken."""


@torch.no_grad()
def value_statistics(image: Tensor, valid: Tensor) -> Tensor:
    """The share of a view's voxels at or below sixteen values from 0 to 1: what a sequence looks like.

    Args:
        image: ``(N, C, i, j, k)`` in the network's range.
        valid: ``(N, 1, i, j, k)`` or ``(N, C, i, j, k)`` bool: what counts.

    Returns:
        ``(N, 16)`` float32; NaN for a view without a valid voxel.

    Example:
        >>> image = torch.tensor([0.0, 0.2, 0.6, 1.0]).reshape(1, 1, 4, 1, 1)
        >>> [round(share, 2) for share in value_statistics(image, image < 0.9)[0, [0, 3, 9]].tolist()]
        [0.33, 0.67, 0.67]
    """
    counted = valid.expand_as(image).flatten(1)
    values = image.flatten(1).float()
    levels = (torch.arange(LEVELS, device=image.device) + 0.5) / LEVELS
    below = torch.stack([((values <= level) & counted).sum(dim=1) for level in levels], dim=1)
    return below / counted.sum(dim=1, keepdim=True)


def kinds_of(sequence: Tensor, known: Tensor) -> Tensor:
    """The number of each sequence id among those that are known; -1 for any other.

    Args:
        sequence: ``(n,)`` int64 ids.
        known: ``(count,)`` ids, ascending.

    Example:
        >>> kinds_of(torch.tensor([9, 4, -1]), torch.tensor([4, 9])).tolist()
        [1, 0, -1]
    """
    if not len(known):
        return torch.full_like(sequence, -1)
    place = torch.searchsorted(known, sequence).clamp(max=len(known) - 1)
    return torch.where(known[place] == sequence, place, -1)


@torch.no_grad()
def discrepancy(one: Tensor, other: Tensor, variances: tuple[float, ...] = WIDTHS) -> Tensor:
    """Squared maximum mean discrepancy of two samples, by a sum of Gaussian kernels; 0-dimensional, at least 1e-4.

    Args:
        one: ``(n, d)``, vectors of one sequence: teacher features, or statistics of normalized patches.
        other: ``(m, d)`` of another.
        variances: σ² of each kernel e^{−‖x − y‖² / 2σ²}.
    """

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        squared = (a.double()[:, None] - b.double()[None, :]).square().sum(dim=-1)
        return torch.stack([torch.exp(-squared / (2 * variance)).mean() for variance in variances]).sum()

    return (mean_kernel(one, one) + mean_kernel(other, other) - 2 * mean_kernel(one, other)).clamp(min=LEAST)


@torch.no_grad()
def discrepancies(vectors: Tensor, kind: Tensor, count: int) -> Tensor:
    """Distances ``(count, count)`` of all sequences; infinite for one without vectors, and of each to itself.

    Args:
        vectors: ``(n, d)``.
        kind: ``(n,)`` int64, which sequence each is of.
        count: sequences.
    """
    out = torch.full((count, count), torch.inf, dtype=torch.float64, device=vectors.device)
    parts = [vectors[kind == one] for one in range(count)]
    for one in range(count):
        for other in range(one):
            if len(parts[one]) and len(parts[other]):
                out[one, other] = out[other, one] = discrepancy(parts[one], parts[other])
    return out


@torch.no_grad()
def collaborative(who: Members, kind: Tensor, distance: Tensor) -> Relation:
    """Closest positive, all negative: weights of the vectors with themselves.

    Args:
        who: of all vectors; those of one ``sample`` show one place in several sequences.
        kind: ``(n,)`` int64, the sequence of each.
        distance: ``(count, count)`` of sequences, as ``discrepancies`` gives.

    Returns:
        W⁺ is the closest of the sample's other sequences; W⁻ is 1 / distance for other patients in all other
        sequences; both are divided by the largest weight. Sequences that a sample lacks drop out of it.
    """
    apart = distance.to(kind.device)[kind[:, None], kind[None, :]]
    twin = same("sample", who) & (kind[:, None] != kind[None, :])
    candidates = torch.where(twin, apart, torch.inf)
    closest = candidates.amin(dim=1, keepdim=True)
    positive = (twin & (candidates == closest) & closest.isfinite()).double()
    other = differ("patient", who) & (kind[:, None] != kind[None, :]) & apart.isfinite()
    negative = torch.where(other, 1 / apart.clamp(min=LEAST), 0.0).double()
    largest = torch.maximum(positive.max(), negative.max()).clamp(min=torch.finfo(torch.float64).tiny)
    return Relation((positive / largest).float(), (negative / largest).float())
