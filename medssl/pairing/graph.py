"""Neighbours as positives: a graph over vectors, and how far its influence reaches (SCGC, arXiv 2204.12656).

SCGC's loss −log( Σⱼ Aᵢⱼ e^Sᵢⱼ / Σⱼ e^Sᵢⱼ ) is the generic objective, decoupled and inside, with W⁺ = A and W⁻ = 1
everywhere; for a binary A it is also the coupled one with W⁻ = 1 − A. Its temperature multiplies: S = τ·cosine. The
release does not leave the diagonal out but sets its similarity to 0, so that each row keeps an e⁰ in its denominator;
``neighbourhood`` leaves it out. A row scaled by c loses log c and nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.objectives.cosine import unit
from medssl.pairing.relation import Relation


@torch.no_grad()
def knn_graph(vectors: Tensor, k: int, eligible: Tensor | None = None, *, mutual: bool = False) -> Tensor:
    """A binary graph ``(n, n)`` float32: edges to the k nearest by cosine, none to itself.

    Args:
        vectors: ``(n, d)``; small sets, such as a batch. ``pairing.neighbours`` serves memories.
        k: neighbours of each, at most.
        eligible: ``(n, n)`` bool, pairs that may be neighbours (``differ("patient", who)``); None: all.
        mutual: keep an edge where each is among the other's nearest; otherwise where either is.

    Example:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> knn_graph(points, 1).int().tolist()
        [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    """
    scores = unit(vectors) @ unit(vectors).T
    barred = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    barred = barred if eligible is None else barred | ~eligible
    best, index = scores.masked_fill(barred, -torch.inf).topk(min(k, len(scores)), dim=1)
    edges = torch.zeros_like(scores).scatter(1, index, (best > -torch.inf).to(scores.dtype)).bool()
    return (edges & edges.T if mutual else edges | edges.T).float()


@torch.no_grad()
def influence(adjacency: Tensor, order: int = 1, *, cumulative: bool = True, normalize: bool = True) -> Tensor:
    """Weights of walks: A^r, or A + A² + … + A^r, ``(n, n)`` float32.

    Args:
        adjacency: ``(n, n)`` ≥ 0.
        order: r, at least 1.
        cumulative: shorter walks count too.
        normalize: divide each row of A by its sum first, and the sum of powers by r: rows then sum to 1. Without it
            hubs take over, since powers count walks.

    Raises:
        ValueError: ``order`` is below 1.

    Example:
        >>> path = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
        >>> influence(path, 2, cumulative=False, normalize=False).int().tolist()
        [[1, 0, 1], [0, 2, 0], [1, 0, 1]]
        >>> influence(path, 2).tolist()
        [[0.25, 0.5, 0.25], [0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]
    """
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    step = adjacency.float()
    if normalize:
        sums = step.sum(dim=1, keepdim=True)
        step = step / torch.where(sums > 0, sums, 1.0)
    power = total = step
    for _ in range(order - 1):
        power = power @ step
        total = total + power
    if not cumulative:
        return power
    return total / order if normalize else total


def neighbourhood(weights: Tensor, negative: Tensor | None = None) -> Relation:
    """Neighbours by weight as positives, the others as negatives; no vector is related to itself.

    Args:
        weights: ``(n, n)`` of ``influence`` or any adjacency.
        negative: ``(n, n)`` pairs that may be negatives (``differ("patient", who)``); None: all. Neighbours never are.

    Example:
        >>> found = neighbourhood(torch.tensor([[0.3, 0.7, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        >>> found.negative.int().tolist()
        [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    """
    itself = torch.eye(len(weights), dtype=torch.bool, device=weights.device)
    others = ~itself if negative is None else (negative > 0) & ~itself
    return Relation(weights.masked_fill(itself, 0), others & (weights <= 0))
