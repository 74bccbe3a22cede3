"""Cosine similarity in float32, whatever the precision around it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

EPS = 1e-6
"""Smallest length that vectors are divided by; 1e-12 would underflow for half-precision inputs."""


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of every row of ``a`` with every row of ``b``, within [-1, 1].

    Rounding can lift a cosine above 1 by some 5e-7; the value is brought back, the gradient passes as it is.

    Args:
        a: ``(n, d)``.
        b: ``(m, d)``.

    Returns:
        ``(n, m)`` float32.

    Example:
        >>> cosine(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]])).tolist()
        [[1.0, 0.0]]
    """
    with torch.autocast(a.device.type, enabled=False):
        raw = unit(a) @ unit(b).T
    return raw + (raw.clamp(-1.0, 1.0) - raw).detach()


def unit(vectors: Tensor) -> Tensor:
    """Rows of length one, in float32 (float64 stays as it is); a zero row stays zero."""
    exact = vectors if vectors.dtype == torch.float64 else vectors.float()
    return functional.normalize(exact, dim=-1, eps=EPS)


def spread(vectors: Tensor) -> Tensor:
    """How far unit vectors differ: their standard deviation times √d, 0 when collapsed and about 1 when even.

    Args:
        vectors: ``(n, d)``.

    Example:
        >>> float(spread(torch.ones(5, 3)))
        0.0
    """
    rows = unit(vectors)
    out: Tensor = rows.std(dim=0, correction=0).mean() * float(rows.shape[1]) ** 0.5
    return out
