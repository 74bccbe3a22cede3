"""Agreement of vectors with fixed targets, row by row: no negatives, and never a gradient into the target.

BYOL (Grill et al., NeurIPS 2020, arXiv 2006.07733, equation 2) and SimSiam (Chen and He, CVPR 2021, arXiv 2011.10566,
equation 1). Nothing here keeps vectors from becoming all the same; that is left to a predictor and to the target.
Rows do not meet, so nothing needs to be gathered: with as many rows on every process, the mean of the gradients is that
of one process with all rows.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from medssl.objectives.cosine import unit

Kind = Literal["byol", "simsiam"]


def cosine_rows(prediction: Tensor, target: Tensor) -> Tensor:
    """Cosine of each row with its target, in float32 (float64 stays).

    Args:
        prediction: ``(n, d)``.
        target: ``(n, d)``, taken without gradient.

    Returns:
        ``(n,)``.

    Example:
        >>> cosine_rows(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])).tolist()
        [0.0]
    """
    _check(prediction, target)
    return (unit(prediction) * unit(target.detach())).sum(dim=-1)


def cosine_loss(prediction: Tensor, target: Tensor, kind: Kind = "byol") -> Tensor:
    """Mean of 2 − 2 cos (``byol``, in [0, 4]) or of −cos (``simsiam``, in [−1, 1]).

    One direction; the papers add the one with the views exchanged (BYOL the sum, SimSiam the mean of both).

    Args:
        prediction: ``(n, d)``.
        target: ``(n, d)``, taken without gradient.
        kind: ``byol`` or ``simsiam``.

    Raises:
        ValueError: shapes differ, or the kind is unknown.

    Example:
        >>> same = torch.eye(3)
        >>> float(cosine_loss(same, same)), float(cosine_loss(same, same, "simsiam")), float(cosine_loss(same, -same))
        (0.0, -1.0, 4.0)
    """
    if kind not in ("byol", "simsiam"):
        raise ValueError(f"kind must be byol or simsiam, got {kind!r}")
    agreement = cosine_rows(prediction, target)
    return (2 - 2 * agreement if kind == "byol" else -agreement).mean()


def squared_loss(prediction: Tensor, target: Tensor, *, normalized: bool = False) -> Tensor:
    """Mean squared difference over rows and entries, in float32 (float64 stays).

    Args:
        prediction: ``(n, d)``.
        target: ``(n, d)``, taken without gradient.
        normalized: compare unit vectors; times d this is BYOL's 2 − 2 cos.

    Example:
        >>> float(squared_loss(torch.zeros(2, 2), torch.ones(2, 2)))
        1.0
    """
    _check(prediction, target)
    exact = torch.promote_types(prediction.dtype, torch.float32)
    rows, fixed = prediction.to(exact), target.detach().to(exact)
    if normalized:
        rows, fixed = unit(rows), unit(fixed)
    return functional.mse_loss(rows, fixed)


def _check(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have one shape, got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
