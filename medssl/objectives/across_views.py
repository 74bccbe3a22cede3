"""Cross entropy of what some views predict with the targets that other views give: DINO, SwAV, and iBOT's tokens.

DINO: Caron et al., ICCV 2021, arXiv 2104.14294 (equations 1 to 3). SwAV: Caron et al., NeurIPS 2020, arXiv 2006.09882
(equations 1 and 2, and section 3.2 for multi-crop). iBOT: Zhou et al., ICLR 2022, arXiv 2111.07832 (equation 2).
Uniform predictions and targets over K prototypes cost log K.

Rows do not meet: with as many rows on every process, the mean of the gradients is that of one process with all rows.
Only what makes the targets (``centring``, ``sinkhorn``) looks at the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def across_views(
    predictions: Sequence[Tensor], targets: Sequence[Tensor], temperature: float, sources: Sequence[int] | None = None
) -> Tensor:
    """Mean of −Σ q log softmax(s/τ) over rows and over all pairs of a target and a *different* view.

    Two targets and V views make 2 (V − 1) terms, each of the same weight: with 2 global and 8 local crops the
    2 + 16 of 3DINO.

    Args:
        predictions: for each view its scores ``(B, K)``, rows in one order of samples; global views first.
        targets: for each target view the probabilities ``(B, K)``, taken without gradient.
        temperature: what scores are divided by.
        sources: for each target the index of its view among the predictions, which it is not compared with; None
            for 0, 1, …; −1 for a target from no view among them.

    Raises:
        ValueError: shapes differ, or no pair is left.

    Example:
        >>> flat = torch.zeros(3, 8)
        >>> torch.allclose(across_views([flat, flat, flat], [flat + 1 / 8] * 2, 0.1), torch.tensor(8.0).log())
        True
    """
    of = range(len(targets)) if sources is None else sources
    shapes = {tuple(t.shape) for t in (*predictions, *targets)}
    if len(shapes) != 1 or len(of) != len(targets):
        raise ValueError(f"all views must have one shape (B, K) and each target a source, got {sorted(shapes)}")
    total, terms = predictions[0].new_zeros((), dtype=torch.float32), 0
    for index, scores in enumerate(predictions):
        others = [target for target, source in zip(targets, of, strict=True) if source != index]
        if others:
            # the entropy is linear in its target, so that each view needs one product and not one for each target
            mixed = torch.stack([target.detach() for target in others]).sum(dim=0)
            total = total + _entropy(scores, mixed, temperature).mean()
            terms += len(others)
    if terms == 0:
        raise ValueError(f"{len(predictions)} views and {len(targets)} targets leave no pair of different views")
    return total / terms


def masked_tokens(
    scores: Tensor, targets: Tensor, owner: Tensor, views: int, temperature: float, weight: Tensor | None = None
) -> Tensor:
    """IBOT: the mean over views of the mean over their masked tokens of −Σ q log softmax(s/τ).

    A view without masked tokens counts as 0, as released: so every process divides by the same number, and the mean of
    the gradients is that of one process. Without any masked token the loss is 0.

    Args:
        scores: ``(n, K)`` the student's, at masked positions only, of all views one after the other.
        targets: ``(n, K)`` the teacher's probabilities at the same positions, taken without gradient.
        owner: ``(n,)`` int64, the view of each token, 0 to ``views`` − 1.
        views: all views of the batch, whether masked or not.
        temperature: what scores are divided by.
        weight: ``(n,)`` ≥ 0, of each token among those of its view; None for all alike.

    Example:
        Two tokens of view 0 and one of view 1.

        >>> flat = torch.zeros(3, 4)
        >>> loss = masked_tokens(flat, flat + 0.25, torch.tensor([0, 0, 1]), 2, 0.1)
        >>> torch.allclose(loss, torch.tensor(4.0).log())
        True
    """
    if scores.shape != targets.shape or owner.shape != scores.shape[:1]:
        shapes = [tuple(t.shape) for t in (scores, targets, owner)]
        raise ValueError(f"scores and targets must have one shape (n, K) and owner (n,), got {shapes}")
    rows = _entropy(scores, targets.detach(), temperature)
    share = torch.ones_like(rows) if weight is None else weight.detach().to(rows.dtype)
    of_view = share.new_zeros(views).index_add(0, owner, share)
    total = rows.new_zeros(views).index_add(0, owner, share * rows)
    return (total / torch.where(of_view > 0, of_view, 1.0)).sum() / views


def _entropy(scores: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Cross entropy of each row, in float32 (float64 stays)."""
    exact = torch.promote_types(scores.dtype, torch.float32)
    logs = functional.log_softmax(scores.to(exact) / temperature, dim=-1)
    return -(targets.to(exact) * logs).sum(dim=-1)
