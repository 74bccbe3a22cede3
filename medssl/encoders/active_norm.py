"""Normalization whose statistics come from active sites only.

Hidden sites leave as exact zeros and never enter a mean or a variance, so that a masked network sees the same
distribution as the dense one (SparK, arXiv 2301.03580, sparse normalization; here with scoped masks, for any norm).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medssl.encoders.sites import Sites
from medssl.errors import UsageError


def standardize(x: Tensor, active: Tensor, count: Tensor, axes: Sequence[int], eps: float) -> tuple[Tensor, ...]:
    """Shift and scale to mean 0 and variance 1 over active sites.

    Args:
        x: any map; what stands at inactive sites is ignored.
        active: bool, broadcasts with ``x``.
        count: number of active values in each mean, broadcasts with the means.
        axes: the axes of a mean.
        eps: added to the variance.

    Returns:
        The standardized map (0 at inactive sites), the means and the biased variances, in float32 or better.

    Example:
        >>> x = torch.tensor([[1.0, 3.0, 99.0]])
        >>> standardize(x, torch.tensor([[True, True, False]]), torch.tensor(2.0), [1], 0.0)[0]
        tensor([[-1.,  1.,  0.]])
    """
    x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    mean = torch.where(active, x, zero).sum(tuple(axes), keepdim=True) / count
    centred = torch.where(active, x - mean, zero)
    variance = centred.square().sum(tuple(axes), keepdim=True) / count
    return centred * torch.rsqrt(variance + eps), mean, variance


def affine(x: Tensor, active: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Scale and shift each channel; inactive sites stay zero although the shift is not."""
    spread = (1, -1, *[1] * (x.ndim - 2))
    if weight is not None:
        x = x * weight.reshape(spread)
    if bias is not None:
        x = torch.where(active, x + bias.reshape(spread), torch.zeros((), dtype=x.dtype, device=x.device))
    return x


def batch_norm(
    sites: Sites,
    x: Tensor,
    running: tuple[Tensor | None, Tensor | None],
    terms: tuple[Tensor | None, Tensor | None],
    momentum: float,
    eps: float,
) -> Tensor:
    """Batch norm in training: statistics and running statistics of the active sites of all samples."""
    active = _mask(sites, x)
    total = sum(sites.counts(x.shape[2:]))
    if total < 2:
        raise UsageError(f"batch norm needs 2 or more active sites in training, got {total}", code="encoder")
    axes = (0, *range(2, x.ndim))
    count = torch.tensor(float(total), device=x.device)
    out, mean, variance = standardize(x, active, count, axes, eps)
    _follow(running, mean.flatten(), variance.flatten() * (total / (total - 1)), momentum)
    return affine(out, active, *terms).to(x.dtype)


def instance_norm(
    sites: Sites,
    x: Tensor,
    running: tuple[Tensor | None, Tensor | None],
    terms: tuple[Tensor | None, Tensor | None],
    momentum: float,
    eps: float,
) -> Tensor:
    """Instance norm: the statistics of each sample's own active sites."""
    active = _mask(sites, x)
    counts = torch.tensor(sites.counts(x.shape[2:]), device=x.device, dtype=torch.float32)
    count = counts.reshape(-1, *[1] * (x.ndim - 1))
    out, mean, variance = standardize(x, active, count, tuple(range(2, x.ndim)), eps)
    unbiased = variance * (count / (count - 1).clamp(min=1))
    _follow(running, mean.mean(0).flatten(), unbiased.mean(0).flatten(), momentum)
    return affine(out, active, *terms).to(x.dtype)


def group_norm(sites: Sites, x: Tensor, groups: int, terms: tuple[Tensor | None, Tensor | None], eps: float) -> Tensor:
    """Group norm: one mean for each sample and group of channels, over active sites."""
    active = _mask(sites, x)
    parts = x.reshape(len(x), groups, -1, *x.shape[2:])
    counts = torch.tensor(sites.counts(x.shape[2:]), device=x.device, dtype=torch.float32) * parts.shape[2]
    count = counts.reshape(-1, *[1] * (parts.ndim - 1))
    out = standardize(parts, active.unsqueeze(1), count, tuple(range(2, parts.ndim)), eps)[0]
    return affine(out.reshape(x.shape), active, *terms).to(x.dtype)


def layer_norm(sites: Sites, x: Tensor, terms: tuple[Tensor | None, Tensor | None], eps: float) -> Tensor:
    """Layer norm over channels and places together: one mean for each sample, over active sites."""
    active = _mask(sites, x)
    counts = torch.tensor(sites.counts(x.shape[2:]), device=x.device, dtype=torch.float32) * x.shape[1]
    count = counts.reshape(-1, *[1] * (x.ndim - 1))
    out = standardize(x, active, count, tuple(range(1, x.ndim)), eps)[0]
    weight, bias = terms
    out = out if weight is None else out * weight
    out = out if bias is None else torch.where(active, out + bias, torch.zeros((), dtype=out.dtype, device=x.device))
    return out.to(x.dtype)


def _mask(sites: Sites, x: Tensor) -> Tensor:
    active = sites.active(x.shape[2:])
    if active is None:
        return torch.ones((1, *[1] * (x.ndim - 1)), dtype=torch.bool, device=x.device)
    return active


@torch.no_grad()
def _follow(running: tuple[Tensor | None, Tensor | None], mean: Tensor, variance: Tensor, momentum: float) -> None:
    for kept, now in zip(running, (mean, variance), strict=True):
        if kept is not None:
            kept.mul_(1 - momentum).add_(now.to(kept.dtype), alpha=momentum)
