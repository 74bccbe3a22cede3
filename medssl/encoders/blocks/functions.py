"""Which of torch's functions are computed on the rows of visible blocks, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from medssl.encoders.blocks.map import BlockMap, block_map, dense, maps_in, replaced
from medssl.encoders.blocks.names import CASTS, CHANNELS, NEVER, PROPERTIES, SHAPE, SITE_BY_SITE
from medssl.errors import UsageError

Function = Callable[..., Any]


def on_rows(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function gives for maps of visible blocks; torch's functions are not listened to meanwhile.

    Raises:
        UsageError: the map would be changed in place by a function that mixes places.
    """
    if func in _SHAPE:
        return func(*args, **kwargs)
    answer = _ANSWERS.get(func)
    if answer is not None:
        out = answer(func, args, kwargs)
        if out is not NotImplemented:
            return out
    name = getattr(func, "__name__", str(func))
    first = isinstance(args[0], BlockMap) if args else False
    changes = first and (kwargs.get("inplace") or (name.endswith("_") and not name.endswith("__")))
    if name in NEVER or changes or next(iter(maps_in(kwargs.get("out"))), None) is not None:
        raise UsageError(
            f"{name} of a map with hidden cells cannot change it in place",
            code="encoder",
            hint="write a new map instead, or use erased(…, work='dense')",
        )
    return func(*dense(args), **dense(kwargs))


def fitted(value: Tensor, like: BlockMap) -> Tensor | None:
    """A plain tensor as it broadcasts with the rows of a map; None where it does not broadcast with the map.

    What is the same at every site stays small; a value for each sample is repeated for its blocks; a dense map is
    packed.
    """
    whole = tuple(like.shape)
    if value.ndim > len(whole):
        return None
    if value.ndim == 0:
        return value
    shape = (1,) * (len(whole) - value.ndim) + tuple(value.shape)
    channel = like.channel
    for axis, (have, want) in enumerate(zip(shape, whole, strict=True)):
        if have not in {1, want} and axis != channel:
            return None
    places = [axis for axis in range(1, len(whole)) if axis != channel]
    if all(shape[axis] == 1 for axis in places):
        if shape[0] == 1:
            return value
        return value.index_select(0, like.blocks.sample)
    goal = [n if axis == channel else whole[axis] for axis, n in enumerate(shape)]
    spread = value.reshape(shape).expand(goal)
    rows = like.blocks.pack(spread.movedim(-1, 1) if like.last else spread)
    return rows.movedim(1, -1) if like.last else rows


def _site_by_site(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    found = _together(args, kwargs)
    name = getattr(func, "__name__", "")
    if found is None or (_in_place(name, kwargs) and not isinstance(args[0], BlockMap)) or "out" in kwargs:
        return NotImplemented
    plain = [part for part in (*args, *kwargs.values()) if isinstance(part, Tensor) and not isinstance(part, BlockMap)]
    fits = {id(part): fitted(part, found) for part in plain}
    if any(part is None for part in fits.values()):
        return NotImplemented

    def rows(part: Any) -> Any:
        if isinstance(part, BlockMap):
            return part.rows
        return fits[id(part)] if isinstance(part, Tensor) else part

    out = func(*map(rows, args), **{key: rows(part) for key, part in kwargs.items()})
    return _shown(out, found)


def _cast(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    found = _together(args, kwargs)
    if found is None or not isinstance(args[0], BlockMap) or any(isinstance(a, str | torch.Size) for a in args[1:]):
        return NotImplemented
    if getattr(func, "__name__", "") == "contiguous":
        return found
    kwargs = {key: part for key, part in kwargs.items() if key != "memory_format"}
    args, kwargs = replaced(args, lambda part: part.rows), replaced(kwargs, lambda part: part.rows)
    out = func(*args, **kwargs)
    return _shown(out, found) if isinstance(out, Tensor) else out


def _over_channels(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = getattr(func, "__name__", "")
    if name in {"max", "min"} and len(args) > 1 and isinstance(args[1], Tensor):
        return _site_by_site(func, args, kwargs)
    found = _together(args[0], {}) if args else None
    place, drops = CHANNELS[name]
    dim = kwargs.get("dim", args[place] if len(args) > place else None)
    dim = dim[0] if isinstance(dim, Sequence) and len(dim) == 1 else dim
    if found is None or not isinstance(dim, int) or dim % found.ndim != found.channel or "out" in kwargs:
        return NotImplemented
    keeps = kwargs.get("keepdim", args[place + 1] if len(args) > place + 1 else False)
    parts = list(args[0]) if isinstance(args[0], list | tuple) else []
    if (drops and not keeps) or any(not isinstance(part, BlockMap) and part.ndim != found.ndim for part in parts):
        return NotImplemented
    if parts:
        rows = [part.rows if isinstance(part, BlockMap) else fitted(part, found) for part in parts]
        return NotImplemented if any(r is None for r in rows) else _shown(func(rows, *args[1:], **kwargs), found)
    return _shown(func(args[0].rows, *args[1:], **kwargs), found)


def _turned(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Channels from behind the samples to the end, or back."""
    x = args[0]
    if not isinstance(x, BlockMap) or next(iter(maps_in((args[1:], kwargs))), None) is not None:
        return NotImplemented
    marked = torch.empty(tuple(range(1, x.ndim + 1)), device="meta")
    order = [n - 1 for n in func(marked, *args[1:], **kwargs).shape]
    if order == list(range(x.ndim)):
        return x
    if order == [0, x.channel, *(a for a in range(1, x.ndim) if a != x.channel)] and x.last:
        return block_map(x.rows.movedim(-1, 1), x.blocks)
    if order == [0, *range(2, x.ndim), 1] and not x.last:
        return block_map(x.rows.movedim(1, -1), x.blocks, last=True)
    return NotImplemented


def _linear(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0]
    if not isinstance(x, BlockMap) or not x.last or next(iter(maps_in((args[1:], kwargs))), None) is not None:
        return NotImplemented
    return _shown(func(x.rows, *args[1:], **kwargs), x)


def _norm_of_sites(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    shape = kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())
    return _linear(func, args, kwargs) if len(shape) == 1 else NotImplemented


def _by_channel(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``prelu``: a slope for each channel, or one."""
    x = args[0]
    if not isinstance(x, BlockMap) or x.last or next(iter(maps_in((args[1:], kwargs))), None) is not None:
        return NotImplemented
    return _shown(func(x.rows, *args[1:], **kwargs), x)


def _item(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A slice of channels."""
    x, key = args
    key = key if isinstance(key, tuple) else (key,)
    if not isinstance(x, BlockMap) or x.last or not 1 < len(key) <= x.ndim:
        return NotImplemented
    whole = slice(None)
    if not all(isinstance(k, slice) or k is Ellipsis for k in key) or key[0] != whole or not isinstance(key[1], slice):
        return NotImplemented
    if any(k is not Ellipsis and k != whole for k in key[2:]):
        return NotImplemented
    return _shown(func(x.rows, (whole, key[1])), x)


def _same_shape(func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0]
    shape = args[1] if len(args) == 2 and isinstance(args[1], list | tuple) else args[1:]
    same = isinstance(x, BlockMap) and not kwargs and tuple(shape) == tuple(x.shape)
    return x if same else NotImplemented


def _together(args: Any, kwargs: dict[str, Any]) -> BlockMap | None:
    """The first map; None where maps do not stand on the same blocks."""
    maps = list(maps_in((args, kwargs)))
    if not maps:
        return None
    first = maps[0]
    same = all(part.blocks is first.blocks and part.last == first.last and part.edge == first.edge for part in maps)
    return first if same else None


def _shown(out: Any, like: BlockMap) -> Any:
    """The map of rows, or a tuple of maps; NotImplemented where what came is no map of the same blocks."""
    if isinstance(out, Tensor):
        edge = tuple(out.shape[1:-1] if like.last else out.shape[2:])
        same = out.ndim == like.ndim and len(out) == like.blocks.count and edge == like.edge
        return block_map(out, like.blocks, like.last) if same and out.device == like.device else NotImplemented
    parts = [_shown(part, like) for part in out]
    return NotImplemented if any(part is NotImplemented for part in parts) else type(out)(parts)


def _in_place(name: str, kwargs: dict[str, Any]) -> bool:
    named = name.endswith("_") and not name.endswith("__")
    return named or (name.startswith("__i") and name not in {"__invert__"}) or bool(kwargs.get("inplace"))


def _called(names: Sequence[str], in_place: bool = False) -> list[Function]:
    homes: tuple[Any, ...] = (torch, F, Tensor, torch.special, torch._C._nn)
    every = [*names, *(f"{name}_" for name in names if in_place and not name.startswith("_"))]
    return [getattr(home, name) for home in homes for name in every if callable(getattr(home, name, None))]


def _getter(name: str) -> Function:
    found: Function = getattr(Tensor, name).__get__
    return found


def _table(names: Sequence[str], answer: Function, in_place: bool = False) -> dict[Function, Function]:
    return dict.fromkeys(_called(names, in_place), answer)


_ANSWERS: dict[Function, Function] = {
    **_table(SITE_BY_SITE, _site_by_site, in_place=True),
    **_table(CASTS, _cast),
    **_table([*CHANNELS], _over_channels),
    **_table(["permute", "movedim", "moveaxis", "transpose", "swapaxes", "swapdims"], _turned),
    **_table(["linear"], _linear),
    **_table(["layer_norm", "rms_norm"], _norm_of_sites),
    **_table(["prelu"], _by_channel),
    **_table(["reshape", "view"], _same_shape),
    Tensor.__getitem__: _item,
    _getter("data"): lambda func, args, kwargs: block_map(args[0].rows.detach(), args[0].blocks, args[0].last),
}
_SHAPE = {*_called(SHAPE)} | {_getter(name) for name in PROPERTIES if hasattr(Tensor, name)}
