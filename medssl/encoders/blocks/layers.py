"""Convolutions, pools, norms and resizing of visible blocks, called as torch's functions are.

Each answers None where it cannot be computed on blocks, or where that would not pay: the dense map is then computed
and erased instead, with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from medssl.encoders.blocks import norms, pools
from medssl.encoders.blocks.convolve import Geometry, convolve
from medssl.encoders.blocks.functions import on_rows
from medssl.encoders.blocks.layout import Blocks
from medssl.encoders.blocks.map import BlockMap, block_map
from medssl.encoders.shared_norm import shared_batch_norm

Function = Callable[..., Any]
Numbers = int | Sequence[int]

BUSY = 0.9
"""Blocks are computed where they are expected to cost less than this share of the dense work."""
HALO = 0.13
"""Measured on a CPU: what each site of a window costs beside each site of a block, over their share."""


def _convolution(
    blocks: Blocks,
    always: bool,
    func: Function,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> BlockMap | None:
    dims = weight.ndim - 2
    kernel, dilation = tuple(weight.shape[2:]), _each(dilation, dims)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    pad = [r // 2 if padding == "same" else 0 for r in reach] if isinstance(padding, str) else _each(padding, dims)
    after = [r - p if padding == "same" else p for r, p in zip(reach, pad, strict=True)]
    geometry = _geometry(blocks, input, kernel, _each(stride, dims), tuple(pad), dilation, groups, after=after)
    if geometry is None or not (always or pays(blocks, geometry)):
        return None
    return _result(blocks, convolve(_rows(blocks, input), weight, bias, geometry, blocks, transposed=False))


def _climb(
    blocks: Blocks,
    always: bool,
    func: Function,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> BlockMap | None:
    dims = weight.ndim - 2
    kernel, step, pad, far = tuple(weight.shape[2:]), _each(stride, dims), _each(padding, dims), _each(dilation, dims)
    edge = blocks.edge(input.shape[2:])
    whole = [
        (n - 1) * s - 2 * p + d * (k - 1) + more + 1
        for n, s, p, d, k, more in zip(
            input.shape[2:], step, pad, far, kernel, _each(output_padding, dims), strict=True
        )
    ]
    goal = [n * s for n, s in zip(input.shape[2:], step, strict=True)]
    fits = whole == goal and all(p <= d * (k - 1) for p, d, k in zip(pad, far, kernel, strict=True))
    if edge is None or not fits or blocks.edge(goal) is None:
        return None
    fine = tuple(p * s for p, s in zip(edge, step, strict=True))
    geometry = Geometry(fine, kernel, step, pad, far, groups)
    if not (always or pays(blocks, geometry)):
        return None
    return _result(blocks, convolve(_rows(blocks, input), weight, bias, geometry, blocks, transposed=True))


def _max_pool(
    blocks: Blocks,
    always: bool,
    func: Function,
    input: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> BlockMap | None:
    if return_indices or not isinstance(input, BlockMap):
        return None
    dims = input.ndim - 2
    kernel = _each(kernel_size, dims)
    step = kernel if stride is None else _each(stride, dims)
    pad = _each(padding, dims)
    geometry = _geometry(blocks, input, kernel, step, pad, _each(dilation, dims), 1, ceil=ceil_mode)
    return None if geometry is None else _result(blocks, pools.max_pool(input.rows, geometry, blocks))


def _mean_pool(
    blocks: Blocks,
    always: bool,
    func: Function,
    input: Tensor,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> BlockMap | None:
    if not isinstance(input, BlockMap):
        return None
    dims = input.ndim - 2
    kernel = _each(kernel_size, dims)
    step = kernel if stride is None else _each(stride, dims)
    pad = _each(padding, dims)
    if any(pad) and not count_include_pad and divisor_override is None:
        return None
    geometry = _geometry(blocks, input, kernel, step, pad, (1,) * dims, 1, ceil=ceil_mode)
    # windows that a ceiling lets hang over the border are divided by what they have
    over = geometry is None or any(
        (n // s - 1) * s + k > n + 2 * p for n, s, k, p in zip(input.shape[2:], step, kernel, pad, strict=True)
    )
    return (
        None
        if over or geometry is None
        else _result(blocks, pools.mean_pool(input.rows, geometry, blocks, divisor_override))
    )


def _resize(
    blocks: Blocks,
    always: bool,
    func: Function,
    input: Tensor,
    size: Numbers | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    *args: Any,
    **kwargs: Any,
) -> BlockMap | None:
    """Each site repeated a whole number of times; other ways of resizing look at neighbours."""
    if not isinstance(input, BlockMap) or input.last or mode not in {"nearest", "nearest-exact"}:
        return None
    dims = input.ndim - 2
    given = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor,) * dims
    goal = [n * (f or 0) for n, f in zip(input.shape[2:], given, strict=True)] if size is None else _each(size, dims)
    if any(g < n or g % n for g, n in zip(goal, input.shape[2:], strict=True)):
        return None
    edge = [p * int(g) // n for p, g, n in zip(input.edge, goal, input.shape[2:], strict=True)]
    return _result(blocks, func(input.rows, edge, None, mode))


def _batch_norm(
    blocks: Blocks,
    always: bool,
    func: Function,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> BlockMap | None:
    if not isinstance(input, BlockMap) or input.last:
        return None
    running, terms = (running_mean, running_var), (weight, bias)
    return _result(blocks, norms.batch_norm(input.rows, running, terms, training, momentum, eps))


def _shared_batch_norm(blocks: Blocks, always: bool, func: Function, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(input, BlockMap) or input.last:
        return None
    return _result(blocks, func(input.rows, *args, **{**kwargs, "active": None}))


def _instance_norm(
    blocks: Blocks,
    always: bool,
    func: Function,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> BlockMap | None:
    if not isinstance(input, BlockMap) or input.last:
        return None
    running, terms = (running_mean, running_var), (weight, bias)
    if not use_input_stats:
        return _result(blocks, norms.batch_norm(input.rows, running, terms, False, momentum, eps))
    return _result(blocks, norms.instance_norm(input.rows, blocks, running, terms, momentum, eps))


def _group_norm(
    blocks: Blocks,
    always: bool,
    func: Function,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> BlockMap | None:
    if not isinstance(input, BlockMap) or input.last:
        return None
    return _result(blocks, norms.group_norm(input.rows, blocks, num_groups, (weight, bias), eps))


def _layer_norm(blocks: Blocks, always: bool, func: Function, *args: Any, **kwargs: Any) -> Any:
    x = kwargs.get("input", args[0] if args else None)
    shape = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
    return on_rows(func, args, kwargs) if isinstance(x, BlockMap) and x.last and len(shape) == 1 else None


def pays(blocks: Blocks, geometry: Geometry) -> bool:
    """Whether a convolution of visible blocks costs less than the dense one, which is then erased."""
    edge = geometry.coarse
    length = geometry.seen_above()[1] if max(geometry.stride) == 1 else edge
    halo = math.prod(length) / math.prod(edge)
    return blocks.share * (1 + HALO * halo) < BUSY


def _geometry(
    blocks: Blocks,
    x: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pad: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    after: Sequence[int] | None = None,
    ceil: bool = False,
) -> Geometry | None:
    """How the output looks at the map; None where it is not divided into the same blocks."""
    fine = None if isinstance(x, BlockMap) and x.last else blocks.edge(x.shape[2:])
    if fine is None or x.ndim != len(kernel) + 2:
        return None
    goal = [n // s for n, s in zip(x.shape[2:], stride, strict=True)]
    if any(p % s for p, s in zip(fine, stride, strict=True)) or blocks.edge(goal) is None:
        return None
    for n, k, s, p, d, more, want in zip(x.shape[2:], kernel, stride, pad, dilation, after or pad, goal, strict=True):
        spare = n + p + more - d * (k - 1) - 1
        found = (-(-spare // s) if ceil else spare // s) + 1
        found -= int(ceil and (found - 1) * s >= n + p)
        if found != want or p > d * (k - 1):
            return None
    return Geometry(fine, kernel, stride, pad, dilation, groups)


def _rows(blocks: Blocks, x: Tensor) -> Tensor:
    return x.rows if isinstance(x, BlockMap) else blocks.pack(x)


def _result(blocks: Blocks, rows: Tensor) -> BlockMap:
    return block_map(rows, blocks)


def _each(value: Numbers, dims: int) -> tuple[int, ...]:
    parts = (value,) if isinstance(value, int) else tuple(value)
    return parts * dims if len(parts) == 1 else parts


LAYERS: dict[Function, Function] = {
    **dict.fromkeys((torch.conv2d, torch.conv3d), _convolution),
    **dict.fromkeys((torch.conv_transpose2d, torch.conv_transpose3d), _climb),
    **dict.fromkeys((F.max_pool2d, F.max_pool3d, torch.max_pool2d, torch.max_pool3d), _max_pool),
    **dict.fromkeys((F.avg_pool2d, F.avg_pool3d), _mean_pool),
    F.interpolate: _resize,
    F.batch_norm: _batch_norm,
    shared_batch_norm: _shared_batch_norm,
    F.instance_norm: _instance_norm,
    F.group_norm: _group_norm,
    F.layer_norm: _layer_norm,
}
