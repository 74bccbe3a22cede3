"""Functions that reduce, move or compare places, where some cells are hidden: computed without them, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from medssl.encoders.blocks.map import BlockMap, dense
from medssl.encoders.sites import Sites
from medssl.errors import UsageError

Function = Callable[..., Any]

_MOVING = (
    *(F.pad, torch.roll, Tensor.roll, torch.flip, Tensor.flip, F.grid_sample, F.unfold, F.pixel_shuffle),
    *(F.pixel_unshuffle, torch.pixel_shuffle, torch.pixel_unshuffle),
)
_REFUSED = {
    **dict.fromkeys(("var", "std", "var_mean", "std_mean", "softmax", "log_softmax", "softmin", "logsumexp"), 1),
    **dict.fromkeys(("max", "min", "amax", "amin", "aminmax", "argmax", "argmin", "median", "nanmedian", "sort"), 1),
    **dict.fromkeys(("argsort", "cumsum", "cumprod", "prod", "mode", "nanmean"), 1),
    **dict.fromkeys(("topk", "kthvalue", "quantile", "nanquantile"), 2),
}


def across_places(sites: Sites, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function gives whose result depends on how hidden sites are counted; NotImplemented for any other.

    A mean over all places is that of active sites, for each sample and channel, or of all of them. A sum counts
    hidden sites as zeros, as does what moves places.

    Raises:
        UsageError: the function compares places, and its result among visible ones is not known.
    """
    name = _NAMES.get(func)
    x: Any = kwargs.get("input", args[0] if args else None)
    if name is None or not isinstance(x, Tensor) or isinstance(x, nn.Parameter) or x.ndim != len(sites.cells) + 2:
        return NotImplemented
    if name == "moving":
        return _moved(sites, func, args, kwargs) if _channel(sites, x, set()) else NotImplemented
    place = _REFUSED.get(name, 1)
    dim = kwargs.get("dim", kwargs.get("axis", args[place] if len(args) > place else None))
    if isinstance(dim, Tensor):  # the larger or smaller of two maps
        return NotImplemented
    over = set(range(x.ndim)) if dim is None else {d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim)}
    channel = _channel(sites, x, over)
    places = set(range(1, x.ndim)) - {channel}
    if channel is None or not over & places:
        return NotImplemented
    if name == "sum":
        whole = _erased(sites, x, channel)
        return func(whole, *args[1:], **{k: v for k, v in kwargs.items() if k != "input"})
    if name == "mean" and places <= over and (0 not in over or len(over) == x.ndim):
        keeps = kwargs.get("keepdim", args[2] if len(args) > 2 else False)
        return _mean(sites, x, channel, over, keeps).to(kwargs.get("dtype") or x.dtype)
    raise UsageError(
        f"{name} over places is not known where cells are hidden, for a map of shape {tuple(x.shape)}",
        code="encoder",
        hint="take the mean over all places, use a norm or a pooling layer, or compute it after the network",
    )


def _mean(sites: Sites, x: Tensor, channel: int, over: set[int], keeps: bool) -> Tensor:
    shape = [1 if axis in over else n for axis, n in enumerate(x.shape)]
    plain = dense(x)
    map_ = plain.movedim(-1, 1) if channel != 1 else plain
    if 0 in over:
        space = map_.shape[2:]
        total = sites.erase(map_).sum() / (sum(sites.counts(space)) * map_.shape[1])
        return total.reshape(shape) if keeps else total
    found = sites.mean(map_)
    found = found.mean(1) if channel in over else found
    return found.reshape(shape) if keeps else found


def _moved(sites: Sites, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x: Any = kwargs.get("input", args[0] if args else None)
    width = kwargs.get("pad", args[1] if len(args) > 1 else None)
    if func is F.pad and isinstance(x, BlockMap) and width is not None and not any(width):
        return x
    if "input" in kwargs:
        return func(*args, **{**kwargs, "input": _erased(sites, x, 1)})
    return func(_erased(sites, x, 1), *args[1:], **kwargs)


def _erased(sites: Sites, x: Tensor, channel: int) -> Tensor:
    if isinstance(x, BlockMap):
        return x.dense()
    return sites.erase(x.movedim(-1, 1)).movedim(1, -1) if channel != 1 else sites.erase(x)


def _channel(sites: Sites, x: Tensor, over: set[int]) -> int | None:
    """The axis of channels of a map with hidden sites; None for any other tensor."""
    if isinstance(x, BlockMap):
        return x.channel if x.blocks.sites is sites else None
    if len(x) != len(sites.seen):
        return None
    if over == set(range(1, x.ndim - 1)) and _hides(sites, x.shape[1:-1]):
        return x.ndim - 1
    return 1 if _hides(sites, x.shape[2:]) else None


def _hides(sites: Sites, shape: Sequence[int]) -> bool:
    return sites.fits(shape) and sites.active(shape) is not None


_NAMES: dict[Function, str] = {
    **dict.fromkeys(_MOVING, "moving"),
    **{
        getattr(home, name): name
        for home in (torch, Tensor, F)
        for name in ("mean", "sum", *_REFUSED)
        if callable(getattr(home, name, None))
    },
}
