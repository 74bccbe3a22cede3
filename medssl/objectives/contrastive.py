"""One contrastive objective, of which NT-Xent, DCL, SupCon and their weighted kin are special cases.

With similarities S, weights of positives W⁺ and of negatives W⁻ (0 leaves a pair out), and c = 1 (coupled) or 0:

* ``inside``:  Lᵢ = −log Σⱼ W⁺ᵢⱼ e^Sᵢⱼ + log( c Σⱼ W⁺ᵢⱼ e^Sᵢⱼ + Σⱼ W⁻ᵢⱼ e^Sᵢⱼ )
* ``outside``: Lᵢ = (Σⱼ W⁺ᵢⱼ)⁻¹ Σⱼ W⁺ᵢⱼ [ −Sᵢⱼ + log( c Dᵢⱼ + Σₖ W⁻ᵢₖ e^Sᵢₖ ) ], with Dᵢⱼ = e^Sᵢⱼ (``own``) or the sum
  of e^Sᵢₚ over all positives p of row i (``all``)

| paper | arXiv | form | others | coupled |
|---|---|---|---|---|
| NT-Xent (SimCLR) | 2002.05709 | inside | | yes |
| DCL | 2110.06848 | inside | | no |
| SupCon | 2004.11362 | outside | all | yes |
| ColloSSL, any weights | 2202.00758 | inside | | yes |
| SCGC, binary neighbours | 2204.12656 | inside, W⁻ = 1 − A | | yes |

Everything is computed on logarithms in float32 (float64 stays), so that small temperatures do not overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Form = Literal["inside", "outside"]
Others = Literal["own", "all"]


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
) -> tuple[Tensor, ContrastLog]:
    """The mean over the rows that have a positive and a negative; 0 where no row has both.

    Args:
        similarity: ``(n, M)``, already divided by the temperature. Masked entries may hold anything.
        positive: ``(n, M)`` weights of positives, bool or ≥ 0.
        negative: ``(n, M)`` weights of negatives, bool or ≥ 0; an entry may have both weights.
        coupled: whether positives stand in the denominator (False: decoupled, DCL).
        form: whether positives are summed inside the logarithm or outside.
        others: in the outside form, which positives stand in the denominator.

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
    if form not in ("inside", "outside") or others not in ("own", "all"):
        raise ValueError(f"form must be inside or outside and others own or all, got {form!r} and {others!r}")
    scores = similarity if similarity.dtype == torch.float64 else similarity.float()
    plus, minus = positive.to(scores.dtype), negative.to(scores.dtype)
    has_plus, has_minus = (plus > 0).any(dim=1), (minus > 0).any(dim=1)
    kept = has_plus & has_minus
    rows = _inside(scores, plus, minus, coupled) if form == "inside" else _outside(scores, plus, minus, coupled, others)
    loss = torch.where(kept, rows, 0.0).sum() / kept.sum().clamp(min=1)
    return loss, ContrastLog(
        rows=kept.sum(),
        without_positive=(~has_plus).sum(),
        without_negative=(has_plus & ~has_minus).sum(),
        positive=_mean_over(scores.detach(), plus > 0),
        negative=_mean_over(scores.detach(), minus > 0),
    )


def _inside(scores: Tensor, plus: Tensor, minus: Tensor, coupled: bool) -> Tensor:
    decoupled = _log_sum(scores, minus) - _log_sum(scores, plus)
    # −log P + log(P + N) = log(1 + N / P): one rounding instead of three
    return functional.softplus(decoupled) if coupled else decoupled


def _outside(scores: Tensor, plus: Tensor, minus: Tensor, coupled: bool, others: Others) -> Tensor:
    # masked entries may be infinite or NaN, and 0 · inf is NaN
    shown = torch.where(plus > 0, scores, 0.0)
    denominator = _log_sum(scores, minus)[:, None]
    if not coupled:
        terms = denominator - shown
    elif others == "own":
        terms = functional.softplus(denominator - shown)
    else:
        everyone = _log_sum(scores, (plus > 0).to(scores.dtype))[:, None]
        terms = torch.logaddexp(everyone, denominator) - shown
    weight = plus.sum(dim=1)
    return (plus * terms).sum(dim=1) / torch.where(weight > 0, weight, 1.0)


def _log_sum(scores: Tensor, weight: Tensor) -> Tensor:
    """Log Σⱼ wⱼ e^sⱼ of each row; 0 for rows without weight, whose gradient is 0."""
    used = weight > 0
    some = used.any(dim=1, keepdim=True)
    weighted = scores + torch.where(used, weight, 1.0).log()
    # a row of nothing but −inf has a NaN gradient: such rows are summed over zeros and blanked after
    filled = torch.where(used, weighted, torch.where(some, -torch.inf, 0.0).to(scores.dtype))
    return torch.where(some.squeeze(1), torch.logsumexp(filled, dim=1), 0.0)


def _mean_over(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)
