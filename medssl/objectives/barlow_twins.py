"""Barlow Twins: each feature agrees with itself in the other view, and with no other feature.

Zbontar et al., ICML 2021, arXiv 2103.03230 (equations 1 and 2): L = Σᵢ (1 − Cᵢᵢ)² + λ Σᵢ≠ⱼ Cᵢⱼ², with C the correlation
of the features of one view with those of the other, over the batch.

The batch's means and lengths are taken over the rows that are given: across processes give the gathered rows of all, on
every process. λ is about 1/d: keep λ·d near 40 (5e-3 belongs to 8,192 features).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

EPS = 1e-6
"""Least length of a centred feature: one that is constant over the batch has correlation 0 with everything."""


@dataclass(frozen=True)
class BarlowTwins:
    """The two parts.

    Args:
        diagonal: Σ (1 − Cᵢᵢ)².
        redundancy: Σ Cᵢⱼ² over i ≠ j.
    """

    diagonal: Tensor
    redundancy: Tensor

    def total(self, weight: float = 5e-3) -> Tensor:
        """The sum, with λ = ``weight``."""
        return self.diagonal + weight * self.redundancy


def cross_correlation(one: Tensor, two: Tensor) -> Tensor:
    """Correlation over rows of every feature of one view with every feature of the other.

    Args:
        one: ``(N, d)``.
        two: ``(N, d)``.

    Returns:
        ``(d, d)`` within [-1, 1], float32 (float64 stays).
    """
    exact = torch.promote_types(one.dtype, torch.float32)
    with torch.autocast(one.device.type, enabled=False):
        return _standard(one.to(exact)).T @ _standard(two.to(exact))


def barlow_twins(one: Tensor, two: Tensor) -> BarlowTwins:
    """The parts for two views; the gradient reaches both.

    Args:
        one: ``(N, d)``, rows of all processes.
        two: ``(N, d)``, the other view of the same rows.

    Raises:
        ValueError: shapes differ, or fewer than two rows, which have no correlation.

    Example:
        Two features that are the same: λ d (d − 1).

        >>> z = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> round(float(barlow_twins(z, z).total(0.005)), 5)
        0.01
    """
    if one.shape != two.shape or one.ndim != 2:
        raise ValueError(f"both views must have one shape (N, d), got {tuple(one.shape)} and {tuple(two.shape)}")
    if len(one) < 2:
        raise ValueError(f"correlation needs 2 rows or more over all processes, got {len(one)}")
    correlation = cross_correlation(one, two)
    own = correlation.diagonal()
    off = correlation - torch.diag_embed(own)
    return BarlowTwins((1 - own).square().sum(), off.square().sum())


def _standard(vectors: Tensor) -> Tensor:
    """Features centred over the batch and of length 1, so that a product of two is their correlation."""
    return functional.normalize(vectors - vectors.mean(dim=0), dim=0, eps=EPS)
