"""How the vectors of a run are doing: rank, spread, alignment, uniformity, and who is similar to whom.

RankMe: Garrido et al., ICML 2023, arXiv 2210.02885. Alignment and uniformity: Wang and Isola, ICML 2020,
arXiv 2005.10242. The distributions of similarity by kind of pair: Zhu et al., ICCV 2021, arXiv 2108.02982, where false
negatives and hard positives show directly.

All are of a batch, without gradient, in float32 (float64 stays); give the gathered rows of all processes. Rows with a
NaN or an infinity would spoil every number, so ``finite`` takes them out and says how many there were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.objectives.cosine import unit

BINS = 40
"""Of a histogram over [−1, 1]."""


@dataclass(frozen=True)
class PairHealth:
    """The similarities of one kind of pair.

    Args:
        count: pairs.
        mean: of the similarity; NaN without pairs.
        variance: of the similarity (biased); NaN without pairs.
        histogram: ``(bins,)`` int64, over equal bins of [−1, 1]; what rounding lifts beyond is in the last bin.
    """

    count: int
    mean: float
    variance: float
    histogram: Tensor


@torch.no_grad()
def finite(vectors: Tensor) -> tuple[Tensor, int]:
    """The rows without NaN or infinity, and how many others there were.

    Example:
        >>> rows, lost = finite(torch.tensor([[1.0, 2.0], [torch.nan, 0.0]]))
        >>> rows.tolist(), lost
        ([[1.0, 2.0]], 1)
    """
    good = vectors.isfinite().all(dim=1)
    return vectors[good], int((~good).sum())


@torch.no_grad()
def effective_rank(vectors: Tensor, *, centred: bool = False) -> float:
    """RankMe, exp of the entropy of the singular values' shares: 1 when all rows are one vector, at most min(n, d).

    Args:
        vectors: ``(n, d)``, of any length; the paper takes encoder outputs, n well above d.
        centred: take the mean off first, which shows a collapse beside a large common part. RankMe does not.

    Returns:
        0 where all is zero.

    Example:
        >>> round(effective_rank(torch.eye(5)), 3), round(effective_rank(torch.ones(5, 3)), 3)
        (5.0, 1.0)
    """
    rows = _exact(vectors)
    if centred:
        rows = rows - rows.mean(dim=0)
    values = torch.linalg.svdvals(rows)
    total = values.sum()
    if values.numel() == 0 or float(total) == 0:
        return 0.0
    share = values / total
    # the paper adds 1e-7 to each share, so that its logarithm exists; 0 log 0 is 0 here
    return float(torch.exp(-torch.xlogy(share, share).sum()))


@torch.no_grad()
def deviation(vectors: Tensor) -> Tensor:
    """Standard deviation of every dimension of the unit vectors, times √d: near 1 where even, 0 where collapsed.

    Args:
        vectors: ``(n, d)``.

    Returns:
        ``(d,)``.

    Example:
        >>> deviation(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).tolist()
        [1.4142135381698608, 0.0]
    """
    rows = unit(vectors)
    return rows.std(dim=0, correction=0) * math.sqrt(rows.shape[1])


@torch.no_grad()
def alignment(one: Tensor, two: Tensor, power: float = 2.0) -> float:
    """Mean distance of positives to the power α, of unit vectors: 0 when views agree.

    Args:
        one: ``(n, d)``.
        two: ``(n, d)``, the positive of each row.
        power: α.

    Example:
        >>> alignment(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        2.0
    """
    if one.shape != two.shape:
        raise ValueError(f"positives must have one shape, got {tuple(one.shape)} and {tuple(two.shape)}")
    apart = (unit(one) - unit(two)).square().sum(dim=1)
    return float(apart.pow(power / 2).mean())


@torch.no_grad()
def uniformity(vectors: Tensor, t: float = 2.0) -> float:
    """Log of the mean of e^(−t d²) over pairs of different rows of unit vectors: 0 when collapsed, else below.

    Evenly spread vectors of many dimensions come to about −2t.

    Args:
        vectors: ``(n, d)``, n ≥ 2; NaN with fewer.
        t: the scale.

    Example:
        >>> round(uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), 4)
        -8.0
    """
    rows = unit(vectors)
    n = len(rows)
    if n < 2:
        return math.nan
    apart = torch.pdist(rows).square()
    return float(torch.logsumexp(-t * apart, dim=0)) - math.log(len(apart))


@torch.no_grad()
def pair_health(similarity: Tensor, kinds: Mapping[str, Tensor], bins: int = BINS) -> dict[str, PairHealth]:
    """The distribution of similarity for each kind of pair: positives, same patient, other patients, the queue.

    Args:
        similarity: ``(n, M)`` cosines, not divided by a temperature.
        kinds: name to ``(n, M)`` bool; pairs of none are left out.
        bins: of the histogram.

    Example:
        >>> found = pair_health(torch.tensor([[1.0, 0.5, -1.0]]), {"positive": torch.tensor([[True, True, False]])}, 4)
        >>> found["positive"].mean, found["positive"].histogram.tolist()
        (0.75, [0, 0, 0, 2])
    """
    exact = _exact(similarity)
    out = {}
    for name, chosen in kinds.items():
        if chosen.shape != similarity.shape:
            shapes = f"{tuple(similarity.shape)}, got {tuple(chosen.shape)}"
            raise ValueError(f"pairs of kind {name!r} must have the shape of the similarities, {shapes}")
        values = exact[chosen]
        place = ((values.clamp(-1, 1) + 1) * (bins / 2)).long().clamp(max=bins - 1)
        histogram = torch.bincount(place, minlength=bins)
        some = values.numel() > 0
        mean, variance = (float(values.mean()), float(values.var(correction=0))) if some else (math.nan, math.nan)
        out[name] = PairHealth(values.numel(), mean, variance, histogram)
    return out


@torch.no_grad()
def mean_exponential(similarity: Tensor, chosen: Tensor, temperature: float) -> float:
    """Log of the mean of e^(s/τ) over the chosen pairs, the other half of that diagnostic; −∞ without pairs.

    Args:
        similarity: ``(n, M)`` cosines.
        chosen: ``(n, M)`` bool.
        temperature: τ.

    Example:
        >>> round(mean_exponential(torch.full((2, 2), 0.5), torch.ones(2, 2, dtype=torch.bool), 0.005), 3)
        100.0
    """
    values = _exact(similarity)[chosen] / temperature
    return float(torch.logsumexp(values, dim=0)) - math.log(max(1, values.numel()))


def _exact(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
