"""Rows of all processes, differentiable: the backward sums over processes.

With DDP's mean of gradients, a loss over gathered rows then has the gradient of one process with the whole batch.
A gather whose backward keeps only the local slice loses the terms across processes.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(value: Tensor) -> Tensor:
    """Rows of all processes in rank order; counts of rows may differ. Alone, the value itself.

    Args:
        value: ``(N, …)``, of one dtype and the same shape beyond N on every process.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    if not value.is_floating_point():
        return torch.cat(_rows(value))
    out: Tensor = _Gather.apply(value)  # type: ignore[no-untyped-call]
    return out


def _rows(value: Tensor) -> list[Tensor]:
    """Every process's rows."""
    world = dist.get_world_size()
    count = torch.tensor([value.shape[0]], device=value.device)
    counts = [torch.zeros_like(count) for _ in range(world)]
    dist.all_gather(counts, count)
    sizes = [int(n) for n in counts]
    # collectives need equal shapes, so short ones are padded and cut again
    kind = torch.uint8 if value.dtype == torch.bool else value.dtype
    padded = value.new_zeros((max(sizes), *value.shape[1:]), dtype=kind)
    padded[: value.shape[0]] = value.detach().to(kind)
    parts = [torch.zeros_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return [part[:size].to(value.dtype) for part, size in zip(parts, sizes, strict=True)]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        parts = _rows(value)
        ctx.first = sum(part.shape[0] for part in parts[: dist.get_rank()])
        ctx.count = value.shape[0]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.first : ctx.first + ctx.count]
