"""SynCo: six kinds of made-up negatives (Giakoumoglou and Stathaki, arXiv 2410.02401).

Of a hard negative n of a query q, each of length one after: (1) interpolation towards the query and (3) mixture of
two negatives are MoCHi's; (2) extrapolation norm(q + b(n − q)), b in [1, 1½]; (4) noise norm(n + σε); (5) a step along
the gradient of q·n, norm(n + δq); (6) a step along its signs, norm(n + η sign(q)). All detached. Extrapolation at
s = q·n has q·h = ((1 − b) + bs) / √((1 − b)² + b² + 2b(1 − b)s).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from medssl.objectives.cosine import unit
from medssl.pairing.chance import normal, uniform
from medssl.pairing.hard_mixing import Hardest, MadeUp, mixed_negatives, mixed_with_query, one_source


class Counts(NamedTuple):
    """How many of each kind are made for a query; the defaults are the released code's.

    Args:
        interpolated: kind 1.
        extrapolated: kind 2.
        mixed: kind 3.
        noisy: kind 4.
        along: kind 5, along the gradient.
        signed: kind 6, along its signs.
    """

    interpolated: int = 256
    extrapolated: int = 256
    mixed: int = 256
    noisy: int = 64
    along: int = 64
    signed: int = 64


class Steps(NamedTuple):
    """How far the kinds reach; the defaults are the released code's.

    Args:
        interpolate: largest share of the query, kind 1.
        extrapolate: largest b, kind 2.
        noise: σ, kind 4.
        gradient: δ, kind 5.
        sign: η, kind 6.
    """

    interpolate: float = 0.5
    extrapolate: float = 1.5
    noise: float = 0.01
    gradient: float = 0.01
    sign: float = 0.01


COUNTS, STEPS = Counts(), Steps()


@torch.no_grad()
def synthetic_negatives(
    queries: Tensor,
    memory: Tensor,
    among: Hardest,
    generator: torch.Generator,
    counts: Counts = COUNTS,
    steps: Steps = STEPS,
) -> MadeUp:
    """All six kinds, one after the other in the order of ``Counts``.

    Args:
        queries: ``(n, d)``.
        memory: ``(M, d)``.
        among: the hardest negatives; the released code takes 1024.
        generator: draws everything.
        counts: how many of each.
        steps: how far each reaches.

    Returns:
        ``sum(counts)`` for each query.
    """
    interpolated = mixed_with_query(queries, memory, among, counts.interpolated, generator, steps.interpolate)
    extrapolated = _extrapolated(queries, memory, among, counts.extrapolated, generator, steps.extrapolate)
    mixed = mixed_negatives(memory, among, counts.mixed, generator)
    query = unit(queries)[:, None]
    out = interpolated.beside(extrapolated).beside(mixed)
    for count, step, direction in (
        (counts.noisy, steps.noise, None),
        (counts.along, steps.gradient, query),
        (counts.signed, steps.sign, query.sign()),
    ):
        out = out.beside(_stepped(memory, among, count, generator, step, direction))
    return out


def _extrapolated(
    queries: Tensor, memory: Tensor, among: Hardest, count: int, generator: torch.Generator, most: float
) -> MadeUp:
    place, weight = among.draw(count, generator)
    share = 1 + (most - 1) * uniform(place.shape, generator, place)
    rows = among.rows(place)
    query = unit(queries)[:, None]
    vectors = unit(query + share[..., None] * (unit(memory[rows]) - query))
    return MadeUp(vectors, weight, one_source(rows, weight), share)


def _stepped(
    memory: Tensor, among: Hardest, count: int, generator: torch.Generator, step: float, direction: Tensor | None
) -> MadeUp:
    """Hard negatives moved by ``step`` along a direction ``(n, 1, d)``, or along noise of their own."""
    place, weight = among.draw(count, generator)
    rows = among.rows(place)
    start = unit(memory[rows])
    along = normal(start.shape, generator, start) if direction is None else direction
    share = torch.full(place.shape, step, device=start.device)
    return MadeUp(unit(start + step * along), weight, one_source(rows, weight), share)
