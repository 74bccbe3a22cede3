"""Pooling of visible blocks, with what stands around them where pools overlap."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

from medssl.encoders.blocks.convolve import Geometry
from medssl.encoders.blocks.layout import Blocks, Window


def max_pool(rows: Tensor, geometry: Geometry, blocks: Blocks) -> Tensor:
    """Maximum over windows: hidden sites are zeros, as the dense map has them; beyond the map there is nothing."""
    seen = _seen(rows, geometry, blocks, -float("inf"))
    pool = F.max_pool3d if len(geometry.kernel) == 3 else F.max_pool2d
    out: Tensor = pool(seen, geometry.kernel, geometry.stride, 0, geometry.dilation)
    return out


def mean_pool(rows: Tensor, geometry: Geometry, blocks: Blocks, divisor: int | None) -> Tensor:
    """Mean over windows; hidden sites and those beyond the map are zeros that count."""
    seen = _seen(rows, geometry, blocks, 0.0)
    pool = F.avg_pool3d if len(geometry.kernel) == 3 else F.avg_pool2d
    return pool(seen, geometry.kernel, geometry.stride, 0, False, True, divisor)


def _seen(rows: Tensor, geometry: Geometry, blocks: Blocks, outside: float) -> Tensor:
    low, length = geometry.seen_below()
    edge = tuple(rows.shape[2:])
    if all(a >= 0 and a + n <= p for a, n, p in zip(low, length, edge, strict=True)):
        return rows
    window = blocks.window(edge, low, length)
    seen: Tensor = _Seen.apply(rows, blocks, window, outside)  # type: ignore[no-untyped-call]
    return seen


class _Seen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, blocks: Blocks, window: Window, outside: float) -> Tensor:
        ctx.blocks, ctx.window = blocks, window
        return blocks.gather(rows, window, outside)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.blocks.scatter(grad, ctx.window), None, None, None
