"""Convolutions of visible blocks: the halo is gathered, of the input forward and of the output's gradient backward.

A convolution reads, for a block of its output, a window of its input; a transposed one reads a window of the coarser
map. Each is the other's gradient, so that neither direction ever scatters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

from medssl.encoders.blocks.layout import Blocks

FEW, WIDE = 6**3, 256


@dataclass(frozen=True)
class Geometry:
    """How coarse sites look at fine ones: site ``o`` sees ``o · stride − pad + k · dilation`` for every tap ``k``.

    Args:
        fine: sites of a block of the finer map along each axis.
        kernel: taps along each axis.
        stride: fine sites for each coarse one; divides ``fine``.
        pad: sites before the first one.
        dilation: between taps.
        groups: of channels.
    """

    fine: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    @property
    def coarse(self) -> tuple[int, ...]:
        """Sites of a block of the coarser map."""
        return tuple(p // s for p, s in zip(self.fine, self.stride, strict=True))

    @property
    def reach(self) -> tuple[int, ...]:
        """From a kernel's first tap to its last."""
        return tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))

    def seen_below(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First site and length of the window of fine sites that a coarse block sees."""
        length = tuple((q - 1) * s + r + 1 for q, s, r in zip(self.coarse, self.stride, self.reach, strict=True))
        return tuple(-p for p in self.pad), length

    def seen_above(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """First site and length of the window of coarse sites that see any site of a fine block."""
        low = tuple(-((r - p) // s) for r, p, s in zip(self.reach, self.pad, self.stride, strict=True))
        ends = ((f - 1 + p) // s + 1 for f, p, s in zip(self.fine, self.pad, self.stride, strict=True))
        return low, tuple(max(end - first, 1) for end, first in zip(ends, low, strict=True))


def convolve(
    rows: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, blocks: Blocks, transposed: bool
) -> Tensor:
    """The rows of a convolution's output, transposed or not; under autocast in its lower precision."""
    kind = rows.device.type
    if torch.is_autocast_enabled(kind) and rows.dtype != torch.float64:
        low = torch.get_autocast_dtype(kind)
        rows, weight, bias = rows.to(low), weight.to(low), None if bias is None else bias.to(low)
    out: Tensor = _Convolution.apply(rows, weight, bias, geometry, blocks, transposed)  # type: ignore[no-untyped-call]
    return out


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: Geometry,
        blocks: Blocks,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.geometry, ctx.blocks, ctx.transposed = geometry, blocks, transposed
        with torch.autocast(rows.device.type, enabled=False):
            return (_up if transposed else _down)(rows, weight, bias, geometry, blocks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad
        back = _down if ctx.transposed else _up
        with torch.autocast(grad.device.type, enabled=False):
            grad_rows = back(grad, weight, None, ctx.geometry, ctx.blocks) if needs[0] else None
            fine, coarse = (grad, rows) if ctx.transposed else (rows, grad)
            grad_weight = _weight_gradient(fine, coarse, weight, ctx.geometry, ctx.blocks) if needs[1] else None
            grad_bias = grad.sum((0, *range(2, grad.ndim))) if needs[2] else None
        return grad_rows, grad_weight, grad_bias, None, None, None


def _window(rows: Tensor, blocks: Blocks, low: tuple[int, ...], length: tuple[int, ...]) -> Tensor:
    edge = tuple(rows.shape[2:])
    if all(a >= 0 and a + n <= p for a, n, p in zip(low, length, edge, strict=True)):
        for axis, (first, n) in enumerate(zip(low, length, strict=True), start=2):
            rows = rows.narrow(axis, first, n)
        return rows
    return blocks.gather(rows, blocks.window(edge, low, length))


def _laid_out(seen: Tensor) -> Tensor:
    """Wide channels over few sites are convolved faster on a CPU where sites come last (0.6 of the time, measured)."""
    few = math.prod(seen.shape[2:]) <= FEW and seen.shape[1] >= WIDE and seen.device.type == "cpu"
    return seen.contiguous() if few else seen


def _down(rows: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, blocks: Blocks) -> Tensor:
    seen = _window(rows, blocks, *geometry.seen_below())
    g = geometry
    function = F.conv3d if len(g.kernel) == 3 else F.conv2d
    return function(_laid_out(seen), weight, bias, g.stride, 0, g.dilation, g.groups)


def _up(rows: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, blocks: Blocks) -> Tensor:
    g = geometry
    low, length = g.seen_above()
    seen = _window(rows, blocks, low, length)
    if set(g.stride) == {1}:
        # the correlation with the mirrored kernel: no site is computed that is thrown away
        mirrored = torch.unflatten(weight, 0, (g.groups, -1)).transpose(1, 2).flatten(0, 1).flip(*range(2, weight.ndim))
        function = F.conv3d if len(g.kernel) == 3 else F.conv2d
        return function(_laid_out(seen), mirrored, bias, 1, 0, g.dilation, g.groups)
    start = [p - a * s for p, a, s in zip(g.pad, low, g.stride, strict=True)]
    full = [(n - 1) * s + r + 1 for n, s, r in zip(length, g.stride, g.reach, strict=True)]
    spare = [whole - first - p for whole, first, p in zip(full, start, g.fine, strict=True)]
    crop = [min(first, max(left, 0)) for first, left in zip(start, spare, strict=True)]
    more = [max(-left, 0) for left in spare]
    climb = F.conv_transpose3d if len(g.kernel) == 3 else F.conv_transpose2d
    out = climb(seen, weight, bias, g.stride, crop, more, g.groups, g.dilation)
    for axis, (first, cut, p) in enumerate(zip(start, crop, g.fine, strict=True), start=2):
        out = out.narrow(axis, first - cut, p)
    return out


def _weight_gradient(fine: Tensor, coarse: Tensor, weight: Tensor, geometry: Geometry, blocks: Blocks) -> Tensor:
    g = geometry
    seen = _window(fine, blocks, *g.seen_below())
    none = [0] * len(g.kernel)
    found: Tensor = torch.ops.aten.convolution_backward(
        coarse, seen, weight, None, g.stride, none, g.dilation, False, none, g.groups, [False, True, False]
    )[1]
    return found
