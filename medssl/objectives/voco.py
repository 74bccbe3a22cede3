"""VoCo's losses: how much of a sub-volume lies in each base crop, read from feature similarity.

Wu, Zhuang and Chen, CVPR 2024, arXiv 2402.17300 (equations 1 to 7; ``form="paper"``). The released code differs
from the paper (``form="released"``), and the later version takes a logarithm for negatives too (``form="log"``,
arXiv 2410.09890). Terms are local to a volume: nothing is compared across volumes or processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from medssl.objectives.cosine import cosine

EPS = 1e-6
Form = Literal["released", "paper", "log"]


@dataclass(frozen=True)
class VoCoLoss:
    """The parts, each averaged over volumes.

    Args:
        positive: L_pos (the whole of L_pred in the paper's form).
        negative: L_neg (0 in the paper's form).
        base: L_base, which pushes the base crops of a volume apart.
    """

    positive: Tensor
    negative: Tensor
    base: Tensor

    @property
    def total(self) -> Tensor:
        """The sum with weights 1."""
        return self.positive + self.negative + self.base


def predicted_overlap(query: Tensor, base: Tensor, query_teacher: Tensor, base_teacher: Tensor) -> Tensor:
    """How much of each query is said to lie in each base: l = ½ [relu cos(x_S, b_T) + relu cos(x_T, b_S)].

    Args:
        query: ``(Q, d)`` student features x_S.
        base: ``(K, d)`` student features b_S.
        query_teacher: ``(Q, d)`` features x_T, taken without gradient.
        base_teacher: ``(K, d)`` features b_T, taken without gradient.

    Returns:
        ``(Q, K)`` in [0, 1]; the gradient reaches ``query`` and ``base``.
    """
    forward = cosine(query, base_teacher.detach()).relu()
    backward = cosine(query_teacher.detach(), base).relu()
    return (forward + backward) / 2


def prediction_loss(
    labels: Tensor, predicted: Tensor, same: Tensor, group: Tensor, groups: int, form: Form = "released"
) -> tuple[Tensor, Tensor]:
    """L_pos and L_neg, summed over the pairs of a volume and averaged over volumes.

    Args:
        labels: ``(Q, K)`` y, the share of each query's volume that lies in each base.
        predicted: ``(Q, K)`` l in [0, 1].
        same: ``(Q, K)`` bool, whether query and base are of one volume; other pairs do not count.
        group: ``(Q,)`` int64, the volume of each query, 0 to ``groups`` − 1.
        groups: volumes.
        form: ``released``, ``paper`` or ``log``.
    """
    y = labels.to(predicted.dtype)
    error = -torch.log(1 - (y - predicted).abs() + EPS)
    if form == "paper":
        pairs = _per_group(same.to(y.dtype), group, groups)
        return (_per_group(error * same, group, groups) / pairs.clamp(min=1)).mean(), predicted.new_zeros(())
    weight = y * same
    positive = _per_group(weight * error, group, groups) / (_per_group(weight, group, groups) + EPS)
    away = ((y == 0) & same).to(y.dtype)
    apart = -torch.log(1 - predicted + EPS) if form == "log" else predicted.square()
    negative = _per_group(away * apart, group, groups) / (_per_group(away, group, groups) + EPS)
    return positive.mean(), negative.mean()


def base_loss(base: Tensor, group: Tensor, groups: int, form: Form = "released") -> Tensor:
    """L_base: the mean over pairs i < j of a volume of relu(cos(bᵢ, sg bⱼ))², averaged over volumes.

    The paper's form is the mean of |cos(bᵢ, bⱼ)|, with gradient on both.

    Args:
        base: ``(K, d)`` student features, in the order of the grid within each volume.
        group: ``(K,)`` int64, the volume of each, 0 to ``groups`` − 1.
        groups: volumes.
        form: ``released``, ``paper`` or ``log`` (as ``released`` here).
    """
    later = base if form == "paper" else base.detach()
    similarity = cosine(base, later)
    terms = similarity.abs() if form == "paper" else similarity.relu().square()
    pairs = (group[:, None] == group[None, :]).triu(diagonal=1).to(terms.dtype)
    total = _per_group(terms * pairs, group, groups) / _per_group(pairs, group, groups).clamp(min=1)
    return total.mean()


def voco_loss(
    labels: Tensor,
    predicted: Tensor,
    base: Tensor,
    query_owner: Tensor,
    base_owner: Tensor,
    form: Form = "released",
) -> VoCoLoss:
    """All parts for a batch of volumes.

    Args:
        labels: ``(Q, K)`` shares of overlap; what stands at pairs of different volumes is not looked at.
        predicted: ``(Q, K)`` of ``predicted_overlap``.
        base: ``(K, d)`` student features of the bases.
        query_owner: ``(Q,)`` the volume of each query.
        base_owner: ``(K,)`` the volume of each base.
        form: ``released``, ``paper`` or ``log``.

    Example:
        Total collapse with a one-hot label: 0 + 1 + 1.

        >>> one = torch.zeros(1, dtype=torch.long)
        >>> y, l = torch.tensor([[1.0, 0.0, 0.0]]), torch.ones(1, 3)
        >>> round(float(voco_loss(y, l, torch.ones(3, 8), one, one.expand(3)).total), 4)
        2.0
    """
    if form not in ("released", "paper", "log"):
        raise ValueError(f"form must be released, paper or log, got {form!r}")
    volumes, group = torch.unique(torch.cat([query_owner, base_owner]), return_inverse=True)
    query_group, base_group = group[: len(query_owner)], group[len(query_owner) :]
    same = query_group[:, None] == base_group[None, :]
    with torch.autocast(base.device.type, enabled=False):
        positive, negative = prediction_loss(labels, predicted, same, query_group, len(volumes), form)
        return VoCoLoss(positive, negative, base_loss(base, base_group, len(volumes), form))


def _per_group(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Sums of the rows of each group ``(groups,)``."""
    return values.new_zeros(groups).index_add(0, group, values.sum(dim=1))
