"""Communities learned beside the vectors (gCooL, WWW 2022, arXiv 2110.14863), and self-training on clusters (SCGC).

Each vector belongs softly to K communities, R = softmax(cosine(h, centres) / τ) with h detached, so that clustering
moves the centres alone. Two vectors of one community are weak negatives: the simplest use is
``same_sample(who).weigh(negative=apart(R))``. The paper adds a contrast of every vector with the means of the other
view's communities, and ends both with a schedule after a fifth of its run (``shares``): make that a choice.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from medssl.encoders.settings import positive
from medssl.objectives.cosine import cosine, unit
from medssl.pairing.relation import Relation


class Communities(nn.Module):
    """K learned centres, and how much each vector belongs to each.

    Args:
        inputs: length of the vectors.
        count: K, 8 to 10 in the paper.
        temperature: τ, 0.3 to 0.4 in the paper.

    Raises:
        RecipeError: a setting is out of range.

    Example:
        >>> belongs = Communities(4, 3)(torch.randn(5, 4))
        >>> belongs.shape, torch.allclose(belongs.sum(1), torch.ones(5))
        (torch.Size([5, 3]), True)
    """

    def __init__(self, inputs: int, count: int, temperature: float = 0.3) -> None:
        super().__init__()
        positive("inputs", inputs)
        positive("count", count)
        positive("temperature", temperature)
        self.temperature = temperature
        self.centres = nn.Parameter(nn.functional.normalize(torch.randn(count, inputs), dim=1))

    def forward(self, vectors: Tensor) -> Tensor:
        """R ``(n, K)`` float32, rows sum to 1; the gradient reaches the centres alone."""
        return torch.softmax(cosine(vectors.detach(), self.centres) / self.temperature, dim=1)


def dense_aggregation(belongs: Tensor, adjacency: Tensor, weight: float = 1.0, *, balanced: bool = False) -> Tensor:
    """DeCA, the loss of the centres: [λ·1ᵀRᵀAR1 − (n − 1 + λ)·tr(RᵀAR)] / (n(n − 1)) + tr(RᵀR) / (2n).

    Neighbours should share a community; the first term, which counts all edges, is constant where rows of R sum to 1.
    As released nothing speaks against one community for all, since tr(RᵀR) is n for any hard assignment. ``balanced``
    takes κ 1ᵀRRᵀ1/n in its place, with κ the mean of A: pairs of a community must be denser than any pairs, as in
    modularity.

    Args:
        belongs: R ``(n, K)``.
        adjacency: A ``(n, n)`` without self-loops.
        weight: λ, 0.1 to 1 in the paper.
        balanced: see above.

    Raises:
        ValueError: there are fewer than two vectors.
    """
    n = len(belongs)
    if n < 2:
        raise ValueError(f"communities need two or more vectors, got {n}")
    kept = belongs.T @ adjacency.to(belongs.dtype) @ belongs
    edges = weight * kept.sum() - (n - 1 + weight) * kept.trace()
    if balanced:
        return edges / (n * (n - 1)) + adjacency.to(belongs.dtype).mean() * belongs.sum(dim=0).square().sum() / n
    return edges / (n * (n - 1)) + belongs.square().sum() / (2 * n)


def apart(belongs: Tensor, others: Tensor | None = None) -> Tensor:
    """1 − ⟨Rᵢ, Rⱼ⟩, how surely two vectors are of different communities: ``(n, M)`` in [0, 1], detached.

    Args:
        belongs: R of the rows ``(n, K)``.
        others: R of the columns ``(M, K)``, or None for the rows themselves.

    Example:
        >>> apart(torch.eye(2)).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    second = belongs if others is None else others
    return (1 - belongs.detach() @ second.detach().T).clamp(0.0, 1.0)


@torch.no_grad()
def community_means(vectors: Tensor, belongs: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the vectors of each community, by their likeliest one.

    Args:
        vectors: ``(n, d)`` of the other view; brought to length one.
        belongs: R ``(n, K)``.

    Returns:
        ``(K, d)`` of length one, detached, and ``(K,)`` bool: which have any vector. The others are zero.
    """
    member = nn.functional.one_hot(belongs.argmax(dim=1), belongs.shape[1]).to(torch.float32)
    sizes = member.sum(dim=0)
    means = member.T @ unit(vectors).float() / sizes.clamp(min=1)[:, None]
    return unit(means), sizes > 0


@torch.no_grad()
def means_of_others(vectors: Tensor, belongs: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """``community_means`` for every row by itself, of the vectors alone that the row may be pushed away from.

    Args:
        vectors: ``(M, d)`` of the other view; brought to length one.
        belongs: R ``(M, K)``.
        allowed: ``(n, M)`` bool, ``differ("patient", rows, columns)``.

    Returns:
        ``(n, K, d)`` of length one, detached, and ``(n, K)`` bool: which have any vector. The others are zero.
    """
    member = nn.functional.one_hot(belongs.argmax(dim=1), belongs.shape[1]).to(torch.float32)
    chosen = allowed.to(torch.float32)[:, :, None] * member[None]
    sizes = chosen.sum(dim=1)
    means = torch.einsum("imk,md->ikd", chosen, unit(vectors).float()) / sizes.clamp(min=1)[:, :, None]
    return unit(means), sizes > 0


@torch.no_grad()
def community_relation(belongs: Tensor, means: Tensor, present: Tensor, gamma: float = 8e-5) -> Relation:
    """Each vector with its own community's mean, against the others by w = e^{−γ‖C_c − C_d‖²}.

    Args:
        belongs: R ``(n, K)``.
        means: ``(K, d)``, those of ``community_means`` or the centres.
        present: ``(K,)`` bool; empty communities are neither positive nor negative.
        gamma: γ; 0 weighs all alike.
    """
    own = nn.functional.one_hot(belongs.argmax(dim=1), belongs.shape[1]).bool() & present
    near = torch.exp(-gamma * (means[:, None] - means[None, :]).square().sum(dim=-1))
    weight = near[belongs.argmax(dim=1)] * present
    return Relation(own.to(weight.dtype), weight.masked_fill(own, 0.0))


def shares(step: float, scale: float = 500, until: float | None = 0.2) -> tuple[float, float]:
    """The paper's schedule (a, c): total = node contrast + a · (c · DeCA + (1 − c) · community contrast).

    a = max(0, 1 − t/(0.2 S)) and c = e^{−t/S}: after a fifth of S nothing but the node contrast is left.

    Args:
        step: t, epochs in the release.
        scale: S.
        until: the share of S after which a is 0; None keeps it at 1.

    Example:
        >>> shares(0), shares(100)[0], shares(100, until=None)[0]
        ((1.0, 1.0), 0.0, 1.0)
    """
    kept = 1.0 if until is None else max(0.0, 1 - step / (until * scale))
    return kept, math.exp(-step / scale)


def student_t(vectors: Tensor, centres: Tensor) -> Tensor:
    """Q ``(n, K)``, rows sum to 1: 1 / (1 + ‖h − c‖²), as in DEC (arXiv 1511.06335) and SCGC.

    Args:
        vectors: ``(n, d)``.
        centres: ``(K, d)``, started by k-means.
    """
    squared = (vectors.float()[:, None] - centres.float()[None, :]).square().sum(dim=-1)
    near = 1 / (1 + squared)
    return near / near.sum(dim=1, keepdim=True)


@torch.no_grad()
def sharpened(assigned: Tensor) -> Tensor:
    """P ``(n, K)``, the detached target of Q: Q² divided by the communities' sizes, rows brought to sum 1.

    The self-training loss is KL(P‖Q) = Σ P log(P/Q).

    Example:
        >>> sharpened(torch.tensor([[0.5, 0.5], [0.5, 0.5]])).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    weight = assigned.square() / assigned.sum(dim=0)
    return weight / weight.sum(dim=1, keepdim=True)
