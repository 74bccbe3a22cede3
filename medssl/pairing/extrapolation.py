"""FT: positives pulled apart, negatives mixed (Zhu et al., ICCV 2021, arXiv 2108.02982).

With λ in [1, 2], q̂ = λq + (1 − λ)k and k̂ = λk + (1 − λ)q: the pair becomes harder, q̂·k̂ = s + 2λ(1 − λ)(1 − s) for
one λ, s + Σ λ(1 − λ)(q − k)² for one of each dimension, and q̂ + k̂ = q + k. With λ in [0, 1], n̂ⱼ = λnⱼ + (1 − λ)nₚ₍ⱼ₎
for one permutation p of the queue.

Traps: what comes out is not of length one, and the positive logit reaches −4/τ at s = 0; compare by plain products
and normalize afterwards (``normalize=True``) in half precision. The gradient reaches the query through both q̂ and k̂;
the key is detached. The original key, not k̂, belongs into the queue. A mixed negative is forbidden wherever either of
its two sources is: ``Interpolated.negative``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from medssl.objectives.cosine import unit
from medssl.pairing.chance import beta, uniform

Grain = Literal["batch", "row", "dimension"]
"""One λ for all vectors of a step (as published), one for each, or one for each of their dimensions."""


def extrapolated_positives(
    query: Tensor,
    key: Tensor,
    generator: torch.Generator,
    *,
    alpha: float = 2.0,
    grain: Grain = "batch",
    normalize: bool = False,
) -> tuple[Tensor, Tensor]:
    """q̂ and k̂, ``(n, d)`` each, of pairs of a query and its key.

    Args:
        query: ``(n, d)``; brought to length one.
        key: ``(n, d)``; brought to length one and detached.
        generator: draws λ = 1 + Beta(α, α).
        alpha: α.
        grain: how many λ are drawn.
        normalize: bring the results to length one.

    Example:
        >>> q, k = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
        >>> one, two = extrapolated_positives(q, k, torch.Generator().manual_seed(0))
        >>> torch.allclose(one + two, q + k), bool((one * two).sum() < 0.6)
        (True, True)
    """
    q, k = unit(query), unit(key.detach())
    stretch = 1 + beta(_shape(q, grain), alpha, generator, q).to(q.dtype)
    one, two = stretch * q + (1 - stretch) * k, stretch * k + (1 - stretch) * q
    return (unit(one), unit(two)) if normalize else (one, two)


@dataclass(frozen=True)
class Interpolated:
    """Negatives mixed two by two.

    Args:
        vectors: ``(M, d)``, detached.
        partner: ``(M,)`` int64, p(j): which row each was mixed with.
    """

    vectors: Tensor
    partner: Tensor

    def negative(self, weights: Tensor) -> Tensor:
        """W⁻ of the mixtures ``(n, M)`` of the W⁻ of their sources: the smaller of both.

        Example:
            >>> mixed = Interpolated(torch.zeros(3, 2), torch.tensor([2, 1, 0]))
            >>> mixed.negative(torch.tensor([[True, True, False]])).tolist()
            [[False, True, False]]
        """
        other = weights[:, self.partner]
        return weights & other if weights.dtype == torch.bool else torch.minimum(weights, other)


@torch.no_grad()
def interpolated_negatives(
    memory: Tensor,
    generator: torch.Generator,
    *,
    alpha: float = 1.6,
    grain: Grain = "batch",
    normalize: bool = False,
) -> Interpolated:
    """n̂ⱼ of every row of the memory.

    Args:
        memory: ``(M, d)``; brought to length one.
        generator: draws the permutation and λ of Beta(α, α).
        alpha: α.
        grain: how many λ are drawn.
        normalize: bring the results to length one; otherwise independent ones shrink to 0.62 of their squared length.
    """
    rows = unit(memory)
    # the order of uniform numbers is a permutation that any device gives alike
    partner = uniform((len(rows),), generator, rows).argsort(stable=True)
    share = beta(_shape(rows, grain), alpha, generator, rows).to(rows.dtype)
    mixed = share * rows + (1 - share) * rows[partner]
    return Interpolated(unit(mixed) if normalize else mixed, partner)


def _shape(vectors: Tensor, grain: Grain) -> tuple[int, int]:
    shapes = {"batch": (1, 1), "row": (len(vectors), 1), "dimension": (len(vectors), vectors.shape[1])}
    if grain not in shapes:
        raise ValueError(f"grain must be batch, row or dimension, got {grain!r}")
    return shapes[grain]
