"""VICReg: views agree, every feature varies, and no two features say the same.

Bardes, Ponce and LeCun, ICLR 2022, arXiv 2105.04906 (equations 1 to 6). As released, the variance term is the mean of
both views where equation 6 has the sum (``variance="paper"``); the covariance term is the sum of both in either.

Variance and covariance are of a batch: across processes give the gathered rows of all, on every process. Half-precision
inputs are lifted first, since a covariance loses most of half precision's digits. With fewer rows than features the
covariance of even independent features is not 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

EPS = 1e-4
"""Added to a variance before its root: a collapsed batch has hinge 1 − √ε = 0.99."""

Variance = Literal["released", "paper"]


@dataclass(frozen=True)
class VICReg:
    """The three parts, without their weights.

    Args:
        invariance: mean squared difference of the two views over rows and features.
        variance: hinge max(0, 1 − √(var + ε)), mean over features.
        covariance: squared covariances of different features, divided by their number.
    """

    invariance: Tensor
    variance: Tensor
    covariance: Tensor

    def total(self, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0) -> Tensor:
        """The weighted sum, with the paper's weights unless others are given."""
        return invariance * self.invariance + variance * self.variance + covariance * self.covariance


def vicreg(one: Tensor, two: Tensor, variance: Variance = "released") -> VICReg:
    """The parts for two views; the gradient reaches both.

    Args:
        one: ``(N, d)``, rows of all processes.
        two: ``(N, d)``, the other view of the same rows.
        variance: ``released`` (mean of both views) or ``paper`` (sum).

    Raises:
        ValueError: shapes differ, or fewer than two rows, which have no variance.

    Example:
        A collapsed batch.

        >>> round(float(vicreg(torch.ones(4, 3), torch.ones(4, 3)).variance), 4)
        0.99
    """
    if one.shape != two.shape or one.ndim != 2:
        raise ValueError(f"both views must have one shape (N, d), got {tuple(one.shape)} and {tuple(two.shape)}")
    if len(one) < 2:
        raise ValueError(f"variance needs 2 rows or more over all processes, got {len(one)}")
    if variance not in ("released", "paper"):
        raise ValueError(f"variance must be released or paper, got {variance!r}")
    exact = torch.promote_types(one.dtype, torch.float32)
    views = one.to(exact), two.to(exact)
    with torch.autocast(one.device.type, enabled=False):
        hinges = variance_hinge(views[0]) + variance_hinge(views[1])
        covariances = covariance_error(views[0]) + covariance_error(views[1])
    return VICReg(functional.mse_loss(*views), hinges / 2 if variance == "released" else hinges, covariances)


def variance_hinge(vectors: Tensor) -> Tensor:
    """Mean over features of max(0, 1 − √(var + ε)), with the unbiased variance over rows.

    Args:
        vectors: ``(N, d)`` float32 or float64, N ≥ 2.
    """
    return functional.relu(1 - (vectors.var(dim=0) + EPS).sqrt()).mean()


def covariance_error(vectors: Tensor) -> Tensor:
    """Squared covariances of different features (divided by N − 1 each), over the number of features.

    Args:
        vectors: ``(N, d)`` float32 or float64, N ≥ 2.
    """
    centred = vectors - vectors.mean(dim=0)
    covariance = centred.T @ centred / (len(vectors) - 1)
    # taken out rather than subtracted, since variances may be much larger than what is left
    off = covariance - torch.diag_embed(covariance.diagonal())
    return off.square().sum() / vectors.shape[1]
