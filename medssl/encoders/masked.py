"""Any convolutional network computed as if hidden cells did not exist, without rewriting it.

``with erased(network, hidden): network(x)`` does, for the time of the scope and in this thread only, what sparse
convolution does (SparK, arXiv 2301.03580): the input is erased at hidden voxels, every convolution and pooling
reads and writes zeros at hidden sites, every norm takes its statistics from active sites. Parameters, buffers and
their names stay as they are, and outside the scope the network is the dense one. Functional calls are seen as well
as modules, because the scope listens to torch's functions and not to modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, handle_torch_function

from medssl.encoders import active_norm
from medssl.encoders.blocks.layers import LAYERS
from medssl.encoders.blocks.layout import Blocks
from medssl.encoders.blocks.map import BlockMap, dense, maps_in
from medssl.encoders.shared_norm import shared_batch_norm
from medssl.encoders.sites import Sites
from medssl.errors import UsageError

Function = Callable[..., Any]


@contextmanager
def erased(module: nn.Module, hidden: Tensor, work: Literal["auto", "blocks", "dense"] = "auto") -> Iterator[Sites]:
    """Within the scope, hidden cells do not exist for ``module``.

    Maps are kept as their visible blocks where the network's functions allow it and where it pays; what such a map
    says of its shape is the dense map's, and what leaves ``module`` is dense with zeros at hidden sites. Scopes nest:
    the innermost one counts. They hold in the thread that opened them. Activation checkpointing would recompute
    outside the scope and is not supported within.

    Args:
        module: the network whose inputs are erased when it is called.
        hidden: ``(N, cells…)`` bool, True where hidden.
        work: ``blocks`` computes visible blocks only wherever that is possible, ``dense`` the whole map, erased after
            every layer (the published way), ``auto`` for each convolution what is expected to cost less. The result is
            the same to rounding.

    Yields:
        The sites, for those who call parts of the network themselves (``sites.erase(x)`` first) or pool its maps.

    Raises:
        UsageError: a sample has nothing visible, or the input or a map cannot be divided into cells.

    Example:
        >>> net = nn.Conv3d(1, 1, 3, padding=1)
        >>> hidden = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
        >>> hidden[0, 0] = True
        >>> x, y = torch.ones(2, 1, 1, 4, 4, 4)
        >>> y[:, :, :2] = float("nan")
        >>> with erased(net, hidden):
        ...     bool((net(x) == net(y)).all())
        True
    """
    _refuse_synchronized(module)
    if work not in {"auto", "blocks", "dense"}:
        raise UsageError(f"work must be one of auto, blocks, dense, got {work!r}", code="encoder")
    sites = Sites(hidden)
    scope = _Scope(sites, work)

    def erase_inputs(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if _innermost() is not sites:
            return args, kwargs
        return tuple(_erase_input(sites, a) for a in args), {k: _erase_input(sites, a) for k, a in kwargs.items()}

    def erase_outputs(_: nn.Module, __: Any, output: Any) -> Any:
        return leaving(sites, output) if _innermost() is sites else dense(output)

    handles = [module.register_forward_pre_hook(erase_inputs, prepend=True, with_kwargs=True)]
    handles.append(module.register_forward_hook(erase_outputs))
    try:
        with _Erasing(scope):
            yield sites
    finally:
        for handle in handles:
            handle.remove()


def leaving(sites: Sites, value: Any) -> Any:
    """What leaves a scope: maps that are dense, with zeros at hidden sites also where a shift came last.

    Args:
        sites: of the scope.
        value: a map, or maps in a list, tuple or dict; whatever else there is stays as it is.
    """
    if isinstance(value, BlockMap):
        return value.dense()
    if isinstance(value, Tensor):
        known = value.ndim == len(sites.cells) + 2 and len(value) == len(sites.seen) and sites.fits(value.shape[2:])
        return sites.erase(value) if known else value
    if isinstance(value, dict):
        return type(value)({key: leaving(sites, part) for key, part in value.items()})
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(leaving(sites, part) for part in value)
    return dense(value)


class _Scope:
    """Sites, and their blocks once a map is met that may be kept so."""

    def __init__(self, sites: Sites, work: str) -> None:
        self.sites, self.work = sites, work
        self._blocks: dict[torch.device, Blocks] = {}

    def blocks(self, device: torch.device) -> Blocks:
        if device not in self._blocks:
            self._blocks[device] = Blocks(self.sites, device)
        return self._blocks[device]


class _Erasing(TorchFunctionMode):
    """Listens to torch's functions in this thread and gives the masked result of those that mix places."""

    def __init__(self, scope: _Scope) -> None:
        super().__init__()
        self.scope = scope

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _innermost:
            return self.scope.sites
        masked = _MASKED.get(func)
        if masked is None:
            return func(*args, **kwargs)
        # the inner scope decides alone: an outer one must not see the functions that this one calls
        with torch._C.DisableTorchFunction():
            out = _in_blocks(self.scope, func, args, kwargs)
            return masked(self.scope.sites, func, *dense(args), **dense(kwargs)) if out is None else out


def _in_blocks(scope: _Scope, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a layer gives computed on visible blocks; None where it is not."""
    layer = LAYERS.get(func)
    x = kwargs.get("input", args[0] if args else None)
    if layer is None or scope.work == "dense" or scope.sites.nothing_hidden or not isinstance(x, Tensor):
        return None
    if x.ndim != len(scope.sites.cells) + 2 or len(x) != len(scope.sites.seen):
        return None
    if any(found.blocks.sites is not scope.sites for found in maps_in((args, kwargs))):
        return None
    return layer(scope.blocks(x.device), scope.work == "blocks", func, *args, **kwargs)


def _innermost() -> Any:
    """The sites of the innermost scope, answered by that scope itself; ask only inside a scope."""
    return handle_torch_function(_innermost, ())


def _erase_input(sites: Sites, value: Any) -> Any:
    if not isinstance(value, Tensor) or value.ndim != len(sites.cells) + 2 or value.dtype == torch.bool:
        return value
    sites.align(value.shape[2:])
    return sites.erase(dense(value))


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


def _refuse_synchronized(module: nn.Module) -> None:
    shared = torch.distributed.is_available() and torch.distributed.is_initialized()
    if shared and any(isinstance(m, nn.SyncBatchNorm) and m.training for m in module.modules()):
        raise UsageError(
            "synchronized batch norm cannot be masked", code="encoder", hint="use norm: instance, or plain batch norm"
        )


_SPREADING = (
    *(torch.conv2d, torch.conv3d, torch.conv_transpose2d, torch.conv_transpose3d),
    *(F.max_pool2d, F.max_pool3d, F.max_pool2d_with_indices, F.max_pool3d_with_indices),
    *(torch.max_pool2d, torch.max_pool3d, F.avg_pool2d, F.avg_pool3d, F.lp_pool2d, F.lp_pool3d),
    *(F.adaptive_max_pool2d, F.adaptive_max_pool3d, F.interpolate),
)
_MASKED: dict[Function, Function] = {
    **dict.fromkeys(_SPREADING, _convolve),
    **dict.fromkeys((F.adaptive_avg_pool2d, F.adaptive_avg_pool3d), _pool_to),
    F.batch_norm: _batch_norm,
    shared_batch_norm: _shared_batch_norm,
    F.instance_norm: _instance_norm,
    F.group_norm: _group_norm,
    F.layer_norm: _layer_norm,
}
