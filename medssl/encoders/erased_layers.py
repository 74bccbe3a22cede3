"""Layers of dense maps with hidden cells: erased before and after, and norms over active sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from medssl.encoders import active_norm
from medssl.encoders.shared_norm import shared_batch_norm
from medssl.encoders.sites import Sites
from medssl.errors import UsageError

Function = Callable[..., Any]


def _convolve(sites: Sites, func: Function, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    _check_layout(sites, input)
    # a padded input (reflect and other modes pad first) has no whole cells: it was erased before it was padded
    x = sites.erase(input) if sites.fits(input.shape[2:]) else input
    out = func(x, *args, **kwargs)
    if isinstance(out, tuple):
        return (sites.erase(out[0]), *out[1:])
    return sites.erase(out)


def _pool_to(sites: Sites, func: Function, input: Tensor, output_size: Any, *args: Any, **kwargs: Any) -> Any:
    out = _convolve(sites, func, input, output_size, *args, **kwargs)
    if sites.active(input.shape[2:]) is None or set(out.shape[2:]) != {1}:
        return out
    return sites.mean(input).reshape(out.shape)


def _batch_norm(
    sites: Sites,
    func: Function,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if not _has_hidden(sites, input):
        return func(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return sites.erase(func(sites.erase(input), running_mean, running_var, weight, bias, False, momentum, eps))
    return active_norm.batch_norm(sites, input, (running_mean, running_var), (weight, bias), momentum, eps)


def _shared_batch_norm(sites: Sites, func: Function, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    active = sites.active(input.shape[2:]) if _has_hidden(sites, input) else None
    return func(input, *args, **{**kwargs, "active": active})


def _instance_norm(
    sites: Sites,
    func: Function,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if not _has_hidden(sites, input):
        return func(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    if not use_input_stats:
        return sites.erase(func(sites.erase(input), running_mean, running_var, weight, bias, False, momentum, eps))
    return active_norm.instance_norm(sites, input, (running_mean, running_var), (weight, bias), momentum, eps)


def _group_norm(
    sites: Sites,
    func: Function,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    if not _has_hidden(sites, input):
        return func(input, num_groups, weight, bias, eps)
    return active_norm.group_norm(sites, input, num_groups, (weight, bias), eps)


def _layer_norm(
    sites: Sites,
    func: Function,
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    dims = len(sites.cells)
    if input.ndim != dims + 2:
        return func(input, normalized_shape, weight, bias, eps)
    if len(normalized_shape) == 1:
        # channels last: every site has its own mean, only the shift must not fill hidden sites
        active = sites.active(input.shape[1:-1])
        out = func(input, normalized_shape, weight, bias, eps)
        return out if active is None else torch.where(active.movedim(1, -1), out, out.new_zeros(()))
    if len(normalized_shape) == dims + 1 and _has_hidden(sites, input):
        return active_norm.layer_norm(sites, input, (weight, bias), eps)
    return func(input, normalized_shape, weight, bias, eps)


def _has_hidden(sites: Sites, x: Tensor) -> bool:
    if x.ndim != len(sites.cells) + 2:
        return False
    _check_layout(sites, x)
    return sites.active(x.shape[2:]) is not None


def _check_layout(sites: Sites, x: Tensor) -> None:
    if x.ndim != len(sites.cells) + 2 or len(x) != len(sites.seen):
        raise UsageError(
            f"a map of shape {tuple(x.shape)} cannot be masked by {len(sites.seen)} samples of cells {sites.cells}",
            code="encoder",
            hint="the network must keep batch and space apart inside",
        )


_SPREADING = (
    *(torch.conv2d, torch.conv3d, torch.conv_transpose2d, torch.conv_transpose3d),
    *(F.max_pool2d, F.max_pool3d, F.max_pool2d_with_indices, F.max_pool3d_with_indices),
    *(torch.max_pool2d, torch.max_pool3d, F.avg_pool2d, F.avg_pool3d, F.lp_pool2d, F.lp_pool3d),
    *(F.adaptive_max_pool2d, F.adaptive_max_pool3d, F.interpolate),
)
ERASED_LAYERS: dict[Function, Function] = {
    **dict.fromkeys(_SPREADING, _convolve),
    **dict.fromkeys((F.adaptive_avg_pool2d, F.adaptive_avg_pool3d), _pool_to),
    F.batch_norm: _batch_norm,
    shared_batch_norm: _shared_batch_norm,
    F.instance_norm: _instance_norm,
    F.group_norm: _group_norm,
    F.layer_norm: _layer_norm,
}
