"""GroCo: the positives of an anchor should stand above its hardest negatives, whatever the distances.

Shvetsova et al., ICCV 2023, arXiv 2301.02009 (section 3), with the relaxed odd-even sorting network of Petersen et al.,
ICLR 2022, arXiv 2203.09630 (Cauchy relaxation). At steepness 1 the loss never comes near 0: a positive at 1 and a
negative at −1 cost 0.1597, so compare runs by their ranks, not by the loss.

Only anchors have a gradient: without a momentum encoder that makes GroCo a kin of SimSiam, which needs a predictor or a
batch norm against collapse. Across processes: give the candidates of all (no gradient is needed) and, where rows may be
dropped, the anchors of all, gathered differentiably.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.objectives.cosine import cosine, unit

EPS = 1e-7
"""Probabilities are kept this far from 0 and 1, since rounding may carry them beyond."""


@dataclass(frozen=True)
class SortLog:
    """What became of the rows; 0-dimensional tensors.

    Args:
        rows: rows that entered the mean.
        dropped: rows with fewer allowed negatives than are sorted.
        ordered: share of the rows whose lowest positive is above their highest negative.
    """

    rows: Tensor
    dropped: Tensor
    ordered: Tensor


def relaxed_sort(values: Tensor, steepness: float = 1.0) -> tuple[Tensor, Tensor]:
    """Sort rows, softly: an odd-even network of L layers, each compare-and-swap a mixture.

    Neighbours a, b become αa + (1 − α)b and (1 − α)a + αb with α = ½ + atan(β(b − a))/π. For large β this is the sort
    itself; equal neighbours are averaged.

    Args:
        values: ``(n, L)``, float32 or float64.
        steepness: β.

    Returns:
        The values, softly ascending, ``(n, L)``; and ``(n, L, L)`` how much of each input lies in each rank, whose rows
        and columns sum to 1.

    Example:
        >>> values, share = relaxed_sort(torch.tensor([[3.0, 1.0, 2.0]]), steepness=1e9)
        >>> values.round().tolist(), share.argmax(dim=2).tolist()
        ([[1.0, 2.0, 3.0]], [[2, 0, 1]])
    """
    n, length = values.shape
    share = torch.eye(length, dtype=values.dtype, device=values.device).expand(n, length, length)
    for layer in range(length):
        first = layer % 2
        end = first + (length - first) // 2 * 2
        low, high = values[:, first:end:2], values[:, first + 1 : end : 2]
        keep = 0.5 + torch.atan(steepness * (high - low)) / torch.pi
        values = _swapped(values, keep, first, end)
        share = _swapped(share, keep[:, None, :], first, end)
    return values, share


def sorting_rows(positive: Tensor, negative: Tensor, steepness: float = 1.0) -> Tensor:
    """The loss of each row: cross entropy of the share of each input in the top ranks with whether it is a positive.

    Args:
        positive: ``(n, P)`` similarities.
        negative: ``(n, k)`` similarities.
        steepness: β.

    Returns:
        ``(n,)``, mean over the P + k inputs, in float32 (float64 stays).

    Example:
        >>> one = torch.ones(1, 1)
        >>> round(float(sorting_rows(one, one)), 4), round(float(sorting_rows(one, -one)), 4)
        (0.6931, 0.1597)
    """
    exact = torch.promote_types(positive.dtype, torch.float32)
    # the network does least where inputs are ordered, and the paper gives it both parts ascending
    parts = [part.to(exact).sort(dim=1).values for part in (negative, positive)]
    _, share = relaxed_sort(torch.cat(parts, dim=1), steepness)
    count, top = negative.shape[1], share[:, :, negative.shape[1] :].sum(dim=2).clamp(EPS, 1 - EPS)
    entropy = torch.cat([-torch.log1p(-top[:, :count]), -top[:, count:].log()], dim=1)
    return entropy.mean(dim=1)


def groco(
    anchor: Tensor,
    positive: Tensor,
    candidates: Tensor,
    allowed: Tensor,
    *,
    hardest: int = 10,
    steepness: float = 1.0,
) -> tuple[Tensor, SortLog]:
    """The mean over anchors; 0 where no anchor has enough negatives.

    Args:
        anchor: ``(n, d)``, of any length.
        positive: ``(n, P, d)`` of each anchor's own, taken without gradient.
        candidates: ``(M, d)`` for negatives, taken without gradient.
        allowed: ``(n, M)`` bool, which candidates may be negatives of which anchor (same patients taken out *before*
            the hardest are chosen, or these would be neighbours of the same organ).
        hardest: how many negatives are sorted; anchors with fewer are dropped and counted.
        steepness: β.

    Raises:
        ValueError: shapes do not fit, or there are fewer candidates than are sorted.
    """
    if hardest > len(candidates) or hardest < 1:
        raise ValueError(f"hardest must be 1 to the number of candidates, {len(candidates)}, got {hardest}")
    if allowed.shape != (len(anchor), len(candidates)) or positive.ndim != 3 or len(positive) != len(anchor):
        shapes = [tuple(t.shape) for t in (anchor, positive, candidates, allowed)]
        raise ValueError(f"expected (n, d), (n, P, d), (M, d) and (n, M), got {shapes}")
    near = (unit(anchor)[:, None, :] * unit(positive.detach())).sum(dim=2)
    far = cosine(anchor, candidates.detach()).masked_fill(~allowed, -torch.inf).topk(hardest, dim=1).values
    kept = allowed.sum(dim=1) >= hardest
    far = torch.where(kept[:, None], far, 0.0)
    count = kept.sum()
    loss = torch.where(kept, sorting_rows(near, far, steepness), 0.0).sum() / count.clamp(min=1)
    ordered = (kept & (near.amin(dim=1) > far.amax(dim=1))).sum() / count.clamp(min=1)
    return loss, SortLog(count, (~kept).sum(), ordered)


def _swapped(values: Tensor, keep: Tensor, first: int, end: int) -> Tensor:
    """Mix neighbours along the last axis between ``first`` and ``end``."""
    low, high = values[..., first:end:2], values[..., first + 1 : end : 2]
    pairs = torch.stack([keep * low + (1 - keep) * high, (1 - keep) * low + keep * high], dim=-1)
    return torch.cat([values[..., :first], pairs.flatten(-2), values[..., end:]], dim=-1)
