"""DINO's targets: the teacher's scores without what they have in common, sharpened.

Caron et al., ICCV 2021, arXiv 2104.14294 (equation 4 and section 3.1). Centring alone leads to uniform targets, a small
temperature alone to a single prototype; together they keep from both. The centre is the caller's to keep: a buffer of
the method, with one of its own for classes and for tokens, since mixing them mixes their statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.objectives.sinkhorn import Gather, alone


@torch.no_grad()
def centred(scores: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """Targets softmax((t − c)/τ), float32 (float64 stays), without gradient.

    Args:
        scores: ``(n, K)`` of the teacher.
        centre: ``(K,)``.
        temperature: τ of the teacher, usually 0.04 to 0.07.

    Example:
        >>> centred(torch.tensor([[1.0, 2.0]]), torch.tensor([1.0, 2.0]), 0.04).tolist()
        [[0.5, 0.5]]
    """
    if centre.shape != scores.shape[-1:]:
        raise ValueError(f"centre must have shape ({scores.shape[-1]},), got {tuple(centre.shape)}")
    exact = torch.promote_types(scores.dtype, torch.float32)
    return torch.softmax((scores.to(exact) - centre.to(exact)) / temperature, dim=-1)


@torch.no_grad()
def moved(centre: Tensor, scores: Tensor, momentum: float = 0.9, gather: Gather = alone) -> Tensor:
    """The next centre m c + (1 − m) mean(t); to be kept *after* the targets of this step were made with the old one.

    Args:
        centre: ``(K,)``.
        scores: ``(n, K)`` of the teacher on this process; n may be 0, and differ between processes.
        momentum: m.
        gather: rows of all processes; what passes between them is one row.

    Returns:
        ``(K,)`` in the centre's type; where no process has a row, the centre as it was.

    Example:
        >>> [round(v, 6) for v in moved(torch.zeros(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()]
        [0.2, 0.3]
    """
    exact = torch.promote_types(scores.dtype, torch.float32)
    count = scores.new_full((1, 1), len(scores), dtype=exact)
    total = gather(torch.cat([scores.to(exact).sum(dim=0, keepdim=True), count], dim=1)).sum(dim=0)
    mean = total[:-1] / total[-1].clamp(min=1)
    return torch.where(total[-1] > 0, momentum * centre + (1 - momentum) * mean, centre).to(centre.dtype)
