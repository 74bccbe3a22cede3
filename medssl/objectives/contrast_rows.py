"""The generic contrastive objective row by row: what ``contrastive`` averages and ``contrast_bank`` takes in slices.

Scores may stand in several blocks of columns (a bank that all rows share, columns of a row's own), so that they need
not be copied into one matrix. A masked entry may hold anything, an infinity or NaN, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

Form = Literal["inside", "outside"]
Others = Literal["own", "all"]


@dataclass(frozen=True)
class Columns:
    """A block of columns.

    Args:
        scores: ``(n, M)`` similarities divided by the temperature, float32 or float64.
        positive: ``(n, M)`` W⁺, bool or ≥ 0; None for no positive here.
        negative: ``(n, M)`` W⁻, bool or ≥ 0; None for weight 1 everywhere.
    """

    scores: Tensor
    positive: Tensor | None
    negative: Tensor | None


@dataclass(frozen=True)
class Rule:
    """Which of the family is meant.

    Args:
        coupled: whether positives stand in the denominator (False: decoupled, DCL).
        form: whether positives are summed inside the logarithm or outside.
        others: in the outside form, which positives stand in the denominator.
    """

    coupled: bool = True
    form: Form = "inside"
    others: Others = "own"

    def __post_init__(self) -> None:
        if self.form not in ("inside", "outside") or self.others not in ("own", "all"):
            got = f"{self.form!r} and {self.others!r}"
            raise ValueError(f"form must be inside or outside and others own or all, got {got}")


@dataclass(frozen=True)
class Rows:
    """What the rows came to.

    Args:
        loss: ``(n,)``, 0 for dropped rows, with gradient.
        with_positive: ``(n,)`` bool, whether any positive has weight.
        with_negative: ``(n,)`` bool, whether any negative has weight.
    """

    loss: Tensor
    with_positive: Tensor
    with_negative: Tensor

    @property
    def kept(self) -> Tensor:
        """``(n,)`` bool: the rows that have both. Without a negative a row is 0 (coupled) or −∞ (decoupled)."""
        return self.with_positive & self.with_negative


def row_losses(blocks: Sequence[Columns], rule: Rule, pull: Tensor | None = None) -> Rows:
    """The loss of each row.

    Args:
        blocks: at least one block of columns, all with the same rows.
        rule: which of the family.
        pull: ``(n,)`` weights of the attraction −log Σ W⁺ e^S alone, taken without gradient (DCLW); None for 1.
    """
    with_positive = _any([block.positive for block in blocks if block.positive is not None], blocks[0].scores)
    with_negative = _any([_negative(block) for block in blocks], blocks[0].scores)
    rows = Rows(blocks[0].scores, with_positive, with_negative)
    apart = _log_sums([(block.scores, block.negative) for block in blocks], rows.kept)
    if rule.form == "inside":
        loss = _inside(blocks, apart, rows.kept, rule, pull)
    else:
        loss = _outside(blocks, apart, rows.kept, rule, pull)
    return Rows(torch.where(rows.kept, loss, 0.0), with_positive, with_negative)


def log_sum(scores: Tensor, weight: Tensor | None) -> Tensor:
    """Log Σⱼ wⱼ e^sⱼ of each row, −∞ (without gradient) where no weight is.

    Args:
        scores: ``(n, M)``.
        weight: ``(n, M)`` bool or ≥ 0; None for 1 everywhere.

    Example:
        >>> log_sum(torch.zeros(2, 3), torch.tensor([[2.0, 0.0, 2.0], [0.0, 0.0, 0.0]])).exp()
        tensor([4., 0.])
    """
    if scores.shape[1] == 0:
        return scores.sum(dim=1) - torch.inf
    out: Tensor = _LogSum.apply(scores, weight)  # type: ignore[no-untyped-call]
    return out


class _LogSum(torch.autograd.Function):
    """Like ``torch.logsumexp``, but it keeps one matrix, and a row of nothing has gradient 0 instead of NaN."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None:
            raw = scores
        elif weight.dtype == torch.bool:
            raw = scores.masked_fill(~weight, -torch.inf)
        else:
            shift = weight.to(scores.dtype).log()
            raw = torch.where(weight > 0, scores + shift, -torch.inf)
        top = raw.amax(dim=1, keepdim=True)
        top = torch.where(top == -torch.inf, 0.0, top)
        share = raw - top if weight is None else raw.sub_(top)
        total = share.exp_().sum(dim=1)
        ctx.save_for_backward(share, total)
        return top.squeeze(1) + total.log()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        share, total = ctx.saved_tensors
        factor = torch.where(total > 0, grad / total, 0.0)
        return share * factor[:, None], None


def _log_sums(parts: Sequence[tuple[Tensor, Tensor | None]], kept: Tensor) -> Tensor:
    """Log of the sum over several blocks; 0 in the rows that are not kept."""
    sums = [log_sum(scores, weight) for scores, weight in parts]
    joined = sums[0] if len(sums) == 1 else log_sum(torch.stack(sums, dim=1), None)
    return torch.where(kept, joined, 0.0)


def _inside(blocks: Sequence[Columns], apart: Tensor, kept: Tensor, rule: Rule, pull: Tensor | None) -> Tensor:
    parts = [(block.scores, block.positive) for block in blocks if block.positive is not None]
    together = _log_sums(parts, kept) if parts else torch.zeros_like(apart)
    # −log P + log(P + N) = log(1 + N / P): one rounding instead of three
    loss = functional.softplus(apart - together) if rule.coupled else apart - together
    return loss if pull is None else loss + (1 - pull.detach()) * together


def _outside(blocks: Sequence[Columns], apart: Tensor, kept: Tensor, rule: Rule, pull: Tensor | None) -> Tensor:
    parts = [(block.scores, block.positive) for block in blocks if block.positive is not None]
    denominator = apart
    if rule.coupled and rule.others == "all" and parts:
        everyone = _log_sums([(scores, plus > 0) for scores, plus in parts], kept)
        denominator = torch.logaddexp(everyone, apart)
    loss, weight = torch.zeros_like(apart), torch.zeros_like(apart)
    for scores, plus in parts:
        # masked entries may be infinite or NaN, and 0 · inf is NaN
        shown = torch.where(plus > 0, scores, 0.0)
        share = plus.to(scores.dtype)
        terms = denominator[:, None] - shown
        if rule.coupled and rule.others == "own":
            terms = functional.softplus(terms)
        if pull is not None:
            terms = terms + (1 - pull.detach())[:, None] * shown
        loss = loss + (share * terms).sum(dim=1)
        weight = weight + share.sum(dim=1)
    return loss / torch.where(weight > 0, weight, 1.0)


def _negative(block: Columns) -> Tensor:
    if block.negative is not None:
        return block.negative
    return torch.ones((), dtype=torch.bool, device=block.scores.device).expand(block.scores.shape)


def _any(weights: Sequence[Tensor], like: Tensor) -> Tensor:
    found = torch.zeros(len(like), dtype=torch.bool, device=like.device)
    for weight in weights:
        # an expanded scalar is looked at once, not at every entry
        seen = weight[:, :1] if weight.stride() == (0, 0) else weight
        found = found | (seen if weight.dtype == torch.bool else seen > 0).any(dim=1)
    return found
