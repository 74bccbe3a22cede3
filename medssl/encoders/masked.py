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
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, handle_torch_function

from medssl.encoders.across_places import across_places
from medssl.encoders.blocks.layers import LAYERS
from medssl.encoders.blocks.layout import Blocks
from medssl.encoders.blocks.map import BlockMap, dense, maps_in
from medssl.encoders.erased_layers import ERASED_LAYERS
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
        masked = ERASED_LAYERS.get(func)
        if masked is None:
            with torch._C.DisableTorchFunction():
                out = across_places(self.scope.sites, func, args, kwargs)
            return func(*args, **kwargs) if out is NotImplemented else out
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


def _refuse_synchronized(module: nn.Module) -> None:
    shared = torch.distributed.is_available() and torch.distributed.is_initialized()
    if shared and any(isinstance(m, nn.SyncBatchNorm) and m.training for m in module.modules()):
        raise UsageError(
            "synchronized batch norm cannot be masked", code="encoder", hint="use norm: instance, or plain batch norm"
        )
