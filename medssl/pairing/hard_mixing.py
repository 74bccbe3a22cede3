"""MoCHi: harder negatives, mixed of the hardest ones (Kalantidis et al., NeurIPS 2020, arXiv 2010.01028).

For a query q, the N negatives nearest to it are mixed with one another, h = norm(α nᵢ + (1 − α) nⱼ) with α in (0, 1),
and with the query itself, h′ = norm(β q + (1 − β) nⱼ) with β in (0, ½). At s = q·n, q·h′ = (β + (1 − β)s) /
√(β² + (1 − β)² + 2β(1 − β)s), which may exceed the similarity of the positive. Everything mixed is detached, the query
inside a mixture too.

The hardest are looked for among the negatives that the relation allows (W⁻ > 0), so that a mixture never holds a
vector of the query's own patient. It is a negative of that query alone: for others its sources may be forbidden.
The paper's counts are N = 1024, 1024 mixtures of negatives, 128 with the query (recalled, not read); with a queue
that does not hold many times N, the hardest are merely all. Wait for the queue to be full.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.objectives.cosine import unit
from medssl.pairing.chance import uniform
from medssl.pairing.relation import Relation, repel


@dataclass(frozen=True)
class MadeUp:
    """Negatives that were made up for each query by itself.

    Args:
        vectors: ``(n, s, d)`` float32, of length one, detached.
        weight: ``(n, s)`` bool; False where the query had too few negatives to make one of.
        sources: ``(n, s, 2)`` int64, the two rows of the memory that each was made of; -1 where there is none.
        share: ``(n, s)`` float32, what was drawn for each: α, β, or the step's length.
    """

    vectors: Tensor
    weight: Tensor
    sources: Tensor
    share: Tensor

    def similarity(self, queries: Tensor) -> Tensor:
        """Cosines ``(n, s)`` of each query ``(n, d)`` with what was made up for it; the gradient is the query's."""
        return (unit(queries)[:, None] * self.vectors).sum(dim=-1)

    def relation(self) -> Relation:
        """Weights of those columns, to stand ``beside`` the memory's."""
        return repel(self.weight)

    def beside(self, other: MadeUp) -> MadeUp:
        """More of them for the same queries."""
        mine = (self.vectors, self.weight, self.sources, self.share)
        theirs = (other.vectors, other.weight, other.sources, other.share)
        return MadeUp(*(torch.cat(pair, dim=1) for pair in zip(mine, theirs, strict=True)))


@dataclass(frozen=True)
class Hardest:
    """The hardest negatives of each query, and how to draw from them.

    Args:
        index: ``(n, N)`` int64 rows of the memory, hardest first.
        usable: ``(n,)`` int64, how many of them are negatives of the query at all.
    """

    index: Tensor
    usable: Tensor

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``count`` of them for each query, evenly: their places in ``index`` and whether there are any."""
        chance = uniform((len(self.index), count), generator, self.index)
        place = (chance * self.usable[:, None]).long()
        return place, (self.usable > 0)[:, None].expand_as(place)

    def rows(self, place: Tensor) -> Tensor:
        """Rows of the memory at some places."""
        return self.index.gather(1, place)


@torch.no_grad()
def hardest(queries: Tensor, memory: Tensor, negative: Tensor, count: int) -> Hardest:
    """The ``count`` negatives with the largest cosine to each query, after all others have been left out.

    Args:
        queries: ``(n, d)``.
        memory: ``(M, d)``, such as the rows of a queue.
        negative: ``(n, M)`` W⁻; entries above 0 are eligible.
        count: N; at most M are taken.
    """
    scores = (unit(queries) @ unit(memory).T).masked_fill(negative <= 0, -torch.inf)
    best, index = scores.topk(min(count, len(memory)), dim=1)
    return Hardest(index, (best > -torch.inf).sum(dim=1))


@torch.no_grad()
def mixed_negatives(memory: Tensor, among: Hardest, count: int, generator: torch.Generator) -> MadeUp:
    """MoCHi's first kind: ``count`` mixtures of two different hard negatives for each query.

    Args:
        memory: ``(M, d)``.
        among: the hardest.
        count: s.
        generator: draws the pairs and α.
    """
    first, one = among.draw(count, generator)
    # the other is one of the rest: equal ones would mix to a plain negative, which stands in the memory already
    rest = (among.usable[:, None] - 1).clamp(min=1)
    skip = (uniform(first.shape, generator, first) * rest).long()
    second = (first + 1 + skip) % among.usable[:, None].clamp(min=1)
    share = uniform(first.shape, generator, first)
    rows = among.rows(first), among.rows(second)
    left, right = (unit(memory[row]) for row in rows)
    mixed = unit(share[..., None] * left + (1 - share[..., None]) * right)
    weight = one & (among.usable > 1)[:, None]
    return MadeUp(mixed, weight, torch.stack(rows, dim=-1).masked_fill(~weight[..., None], -1), share)


@torch.no_grad()
def mixed_with_query(
    queries: Tensor, memory: Tensor, among: Hardest, count: int, generator: torch.Generator, most: float = 0.5
) -> MadeUp:
    """MoCHi's second kind, SynCo's first: ``count`` mixtures of a hard negative with the query itself.

    Args:
        queries: ``(n, d)``.
        memory: ``(M, d)``.
        among: the hardest.
        count: s′.
        generator: draws the negatives and β.
        most: largest share β of the query.
    """
    place, weight = among.draw(count, generator)
    share = most * uniform(place.shape, generator, place)
    rows = among.rows(place)
    mixed = unit(share[..., None] * unit(queries)[:, None] + (1 - share[..., None]) * unit(memory[rows]))
    return MadeUp(mixed, weight, one_source(rows, weight), share)


def one_source(rows: Tensor, weight: Tensor) -> Tensor:
    """The sources of vectors that were made of one row."""
    return torch.stack([rows.masked_fill(~weight, -1), torch.full_like(rows, -1)], dim=-1)
