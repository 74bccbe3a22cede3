"""Norms of visible blocks: every row counts, so torch's own norms give the statistics of active sites."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from medssl.encoders.blocks.layout import Blocks
from medssl.errors import UsageError

Pair = tuple[Tensor | None, Tensor | None]


def batch_norm(rows: Tensor, running: Pair, terms: Pair, training: bool, momentum: float, eps: float) -> Tensor:
    """Batch norm over the sites of all blocks.

    Raises:
        UsageError: in training, there is one active site alone.
    """
    total = rows.numel() // rows.shape[1]
    if training and total < 2:
        raise UsageError(f"batch norm needs 2 or more active sites in training, got {total}", code="encoder")
    return F.batch_norm(rows, *running, *terms, training, momentum, eps)


def instance_norm(rows: Tensor, blocks: Blocks, running: Pair, terms: Pair, momentum: float, eps: float) -> Tensor:
    """Instance norm: the statistics of each sample's own blocks."""
    parts, followed = [], []
    sites = rows[0, 0].numel()
    for part, count in zip(torch.split_with_sizes(rows, blocks.sites.seen), blocks.sites.seen, strict=True):
        mean, variance = (None if kept is None else torch.zeros_like(kept) for kept in running)
        # torch's own batch norm of one sample is its instance norm; a momentum of 1 keeps its statistics
        cudnn = torch.backends.cudnn.enabled
        parts.append(torch.batch_norm(part, *terms, mean, variance, True, 1.0, eps, cudnn))
        if count * sites == 1 and variance is not None:
            variance.zero_()
        followed.append((mean, variance))
    for kept, now in zip(running, zip(*followed, strict=True), strict=True):
        if kept is not None:
            met = torch.stack([value for value in now if value is not None]).mean(0)
            kept.mul_(1 - momentum).add_(met, alpha=momentum)
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def group_norm(rows: Tensor, blocks: Blocks, groups: int, terms: Pair, eps: float) -> Tensor:
    """Group norm: one mean for each sample and group of channels, over its blocks."""
    # torch's own kernel subtracts squares where channels come last, which loses digits
    exact = rows.float() if rows.dtype in {torch.float16, torch.bfloat16} else rows
    channels = rows.shape[1]
    weight = exact.new_ones(channels) if terms[0] is None else terms[0]
    bias = exact.new_zeros(channels) if terms[1] is None else terms[1]
    parts = []
    for part in torch.split_with_sizes(exact, blocks.sites.seen):
        sites = part.movedim(1, -1).reshape(-1, groups, channels // groups)
        variance, mean = torch.var_mean(sites, (0, 2), correction=0)
        scale = weight * torch.rsqrt(variance + eps).repeat_interleave(channels // groups)
        shift = bias - mean.repeat_interleave(channels // groups) * scale
        spread = (-1, *[1] * (rows.ndim - 2))
        parts.append(torch.addcmul(shift.reshape(spread), part, scale.reshape(spread)))
    return (torch.cat(parts) if len(parts) > 1 else parts[0]).to(rows.dtype)
