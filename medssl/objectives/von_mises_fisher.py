"""DCLW's weights of the attraction: pairs that already agree are pulled less.

Yeh et al., ECCV 2022, arXiv 2110.06848 (equation 7 and the von Mises–Fisher weighting after it).
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def von_mises_fisher(positive: Tensor, sigma: float = 0.5) -> Tensor:
    """The weights wᵢ = 2 − N softmaxᵢ(sᵢ/σ): their mean is 1, and each lies in [2 − N, 2).

    To be given as ``pull`` to the objective, decoupled. They are normalized over the rows that are given, so what a
    batch is must be decided once: give the positives of all processes, as gathered. The weight of a very easy pair can
    fall below 0. No gradient passes (the reference implementation lets it; a weight is not something to be learned).

    Args:
        positive: ``(N,)`` cosine of each row with its positive, not divided by the temperature.
        sigma: σ.

    Returns:
        ``(N,)`` float32 (float64 stays).

    Example:
        >>> von_mises_fisher(torch.full((3,), 0.7))
        tensor([1., 1., 1.])
    """
    if positive.ndim != 1:
        raise ValueError(f"positive must have shape (N,), one similarity for each row, got {tuple(positive.shape)}")
    exact = positive if positive.dtype == torch.float64 else positive.float()
    return 2 - len(exact) * torch.softmax(exact / sigma, dim=0)
