"""One contrastive objective, of which NT-Xent, DCL, SupCon and their weighted kin are special cases.

With similarities S, weights of positives W⁺ and of negatives W⁻ (0 leaves a pair out), and c = 1 (coupled) or 0:

* ``inside``:  Lᵢ = −log Σⱼ W⁺ᵢⱼ e^Sᵢⱼ + log( c Σⱼ W⁺ᵢⱼ e^Sᵢⱼ + Σⱼ W⁻ᵢⱼ e^Sᵢⱼ )
* ``outside``: Lᵢ = (Σⱼ W⁺ᵢⱼ)⁻¹ Σⱼ W⁺ᵢⱼ [ −Sᵢⱼ + log( c Dᵢⱼ + Σₖ W⁻ᵢₖ e^Sᵢₖ ) ], with Dᵢⱼ = e^Sᵢⱼ (``own``) or the sum
  of e^Sᵢₚ over all positives p of row i (``all``)

| paper | arXiv | form | others | coupled |
|---|---|---|---|---|
| NT-Xent (SimCLR) | 2002.05709 | inside | | yes |
| InfoNCE (MoCo) | 1911.05722 | inside | | yes |
| DCL | 2110.06848 | inside | | no |
| DCLW | 2110.06848 | inside, ``pull`` of ``von_mises_fisher`` | | no |
| SupCon, L_out | 2004.11362 | outside | all | yes |
| SupCon, L_in | 2004.11362 | inside, plus log of the number of positives | | yes |
| SelfCon | 2106.15499 | outside | all | yes |
| ColloSSL, any weights | 2202.00758 | inside | | yes |
| SCGC, binary neighbours | 2204.12656 | inside, W⁻ = 1 − A | | yes |

Everything is computed on logarithms in float32 (float64 stays), so that small temperatures do not overflow.

Across processes: gather vectors and ids (differentiably), and give the rows of all processes as rows and columns; every
process then has the same loss, and the mean of its gradients is that of one process with the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.objectives.contrast_rows import Columns, Form, Others, Rows, Rule, row_losses


@dataclass(frozen=True)
class ContrastLog:
    """What became of the rows; all are 0-dimensional tensors, so that nothing waits for the device.

    Args:
        rows: rows that entered the mean.
        without_positive: rows dropped because no positive has weight.
        without_negative: rows dropped because no negative has weight (those with a positive only).
        positive: mean similarity of the positive pairs.
        negative: mean similarity of the negative pairs.
    """

    rows: Tensor
    without_positive: Tensor
    without_negative: Tensor
    positive: Tensor
    negative: Tensor


def contrast(
    similarity: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    coupled: bool = True,
    form: Form = "inside",
    others: Others = "own",
    pull: Tensor | None = None,
    row_weight: Tensor | None = None,
) -> tuple[Tensor, ContrastLog]:
    """The mean over the rows that have a positive and a negative; 0 where no row has both.

    For many columns see ``contrast_bank``, which takes vectors and never holds the whole matrix.

    Args:
        similarity: ``(n, M)``, already divided by the temperature. Masked entries may hold anything.
        positive: ``(n, M)`` weights of positives, bool or ≥ 0.
        negative: ``(n, M)`` weights of negatives, bool or ≥ 0; an entry may have both weights.
        coupled: whether positives stand in the denominator (False: decoupled, DCL).
        form: whether positives are summed inside the logarithm or outside.
        others: in the outside form, which positives stand in the denominator.
        pull: ``(n,)`` weights of each row's attraction −log Σ W⁺ e^S alone, without gradient (DCLW); None for 1.
        row_weight: ``(n,)`` weights ≥ 0 of the rows in the mean Σ rᵢLᵢ / Σ rᵢ, without gradient; None for 1.

    Raises:
        ValueError: shapes differ, or ``form`` or ``others`` is unknown.

    Example:
        Four equal vectors, two views of two samples: log(2N − 1).

        >>> twin = torch.eye(4).roll(2, 0)
        >>> loss, _ = contrast(torch.ones(4, 4), twin, 1 - torch.eye(4) - twin)
        >>> torch.allclose(loss, torch.tensor(3.0).log())
        True
    """
    if not similarity.shape == positive.shape == negative.shape or similarity.ndim != 2:
        shapes = [tuple(t.shape) for t in (similarity, positive, negative)]
        raise ValueError(f"similarity, positive and negative must have one shape (n, M), got {shapes}")
    check_rows(len(similarity), pull=pull, row_weight=row_weight)
    rule = Rule(coupled, form, others)
    blocks = [Columns(similarity if similarity.dtype == torch.float64 else similarity.float(), positive, negative)]
    rows = row_losses(blocks, rule, pull)
    weight = weights_of(rows, row_weight)
    loss = (weight * rows.loss).sum() / weight_sum(weight)
    return loss, tally(rows, blocks).log()


def check_rows(count: int, **weights: Tensor | None) -> None:
    """Refuse weights that are not one for each row."""
    for name, weight in weights.items():
        if weight is not None and weight.shape != (count,):
            raise ValueError(f"{name} must have shape ({count},), one for each row, got {tuple(weight.shape)}")


def weights_of(rows: Rows, given: Tensor | None) -> Tensor:
    """``(n,)`` the weight of each row in the mean, 0 for dropped rows."""
    kept = rows.kept.to(rows.loss.dtype)
    return kept if given is None else kept * given.detach().to(kept.dtype)


def weight_sum(weight: Tensor) -> Tensor:
    """What a weighted sum is divided by: 1 where no weight is."""
    total = weight.sum()
    return torch.where(total > 0, total, 1.0)


@dataclass(frozen=True)
class Tally:
    """What a log is made of, so that it can be added up over slices of rows.

    Args:
        counts: ``(5,)`` int64: rows kept, without positive, without negative; positive and negative pairs.
        sums: ``(2,)`` similarities of the positive and of the negative pairs.
    """

    counts: Tensor
    sums: Tensor

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.counts + other.counts, self.sums + other.sums)

    def log(self) -> ContrastLog:
        """The means."""
        kept, no_positive, no_negative, *pairs = self.counts.unbind()
        means = [total / count.clamp(min=1) for total, count in zip(self.sums, pairs, strict=True)]
        return ContrastLog(kept, no_positive, no_negative, *means)


@torch.no_grad()
def tally(rows: Rows, blocks: Sequence[Columns]) -> Tally:
    """Count and add up; adds no matrix to those that ``row_losses`` makes."""
    counts = [rows.kept.sum(), (~rows.with_positive).sum(), (rows.with_positive & ~rows.with_negative).sum()]
    sums = []
    for plus in (True, False):
        total, pairs = rows.loss.new_zeros(()), torch.zeros_like(counts[0])
        for block in blocks:
            weight = block.positive if plus else block.negative
            if weight is not None:
                chosen = weight if weight.dtype == torch.bool else weight > 0
                total = total + torch.where(chosen, block.scores, 0.0).sum()
                pairs = pairs + chosen.sum()
            elif not plus:
                total, pairs = total + block.scores.sum(), pairs + block.scores.numel()
        counts.append(pairs)
        sums.append(total)
    return Tally(torch.stack(counts), torch.stack(sums))
