"""A feature map of which only the visible blocks are kept, and which otherwise is the dense one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medssl.encoders.blocks.layout import Blocks
from medssl.errors import UsageError

T = TypeVar("T")


class BlockMap(Tensor):
    """A map ``(N, C, i, j, k)`` whose shape, type and device are the dense map's, and whose values are rows of blocks.

    Functions that act on each site alone, or on a site's channels, are computed on the rows. Any other function is
    given the dense map, with zeros at hidden sites; what would change the map in place there is refused.

    Attributes:
        rows: ``(V, C, p, q, r)``; ``(V, p, q, r, C)`` where channels come last.
        blocks: where the rows stand.
        last: whether channels come last: the map is ``(N, i, j, k, C)``.
    """

    rows: Tensor
    blocks: Blocks
    last: bool

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        from medssl.encoders.blocks.functions import on_rows

        with torch._C.DisableTorchFunction():
            return on_rows(func, args, dict(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # compiled or scripted code looks below torch's functions, where rows and their gradients cannot be followed
        raise UsageError(
            f"{func} cannot be computed on visible blocks", code="encoder", hint="use erased(…, work='dense')"
        )

    @property
    def edge(self) -> tuple[int, ...]:
        """Sites of a block along each axis."""
        return tuple(self.rows.shape[1:-1] if self.last else self.rows.shape[2:])

    @property
    def channel(self) -> int:
        """The axis of channels."""
        return self.rows.ndim - 1 if self.last else 1

    def dense(self) -> Tensor:
        """The map itself, exact zeros at hidden sites."""
        x = self.blocks.unpack(self.rows.movedim(-1, 1) if self.last else self.rows)
        return x.movedim(1, -1) if self.last else x


def block_map(rows: Tensor, blocks: Blocks, last: bool = False) -> BlockMap:
    """The map whose visible blocks are ``rows``."""
    shown: BlockMap = _Shown.apply(rows, blocks, last)  # type: ignore[no-untyped-call]
    shown.rows, shown.blocks, shown.last = rows, blocks, last
    return shown


def dense(value: T) -> T:
    """The value with every map of blocks in it unpacked; lists, tuples, dicts and data classes are looked into."""
    changed: T = replaced(value, lambda found: found.dense())
    return changed


def replaced(value: Any, change: Callable[[BlockMap], Any]) -> Any:
    """The value with ``change`` of every map of blocks in it; what holds none is given back as it is."""
    if isinstance(value, BlockMap):
        return change(value)
    if not any(True for _ in maps_in(value)):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: replaced(getattr(value, f.name), change) for f in fields(value) if f.init})
    if isinstance(value, dict):
        changed: Any = type(value)({k: replaced(v, change) for k, v in value.items()})
        return changed
    parts = [replaced(part, change) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def maps_in(value: Any) -> Iterable[BlockMap]:
    """Every map of blocks in a value; lists, tuples, dicts and data classes are looked into."""
    if isinstance(value, BlockMap):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from maps_in(getattr(value, field.name))
    elif isinstance(value, dict):
        for part in value.values():
            yield from maps_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from maps_in(part)


class _Shown(torch.autograd.Function):
    """Rows seen as the dense map by what looks past torch's functions, as functions with gradients of their own do."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, blocks: Blocks, last: bool) -> Tensor:
        ctx.blocks, ctx.last = blocks, last
        ctx.rows, ctx.version = rows, None if rows.is_inference() else rows._version
        channels = rows.shape[-1] if last else rows.shape[1]
        space = blocks.shape(rows.shape[1:-1] if last else rows.shape[2:])
        n = len(blocks.sites.seen)
        shape = (n, *space, channels) if last else (n, channels, *space)
        shown: Tensor = Tensor._make_wrapper_subclass(BlockMap, shape, dtype=rows.dtype, device=rows.device)
        return shown

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        if ctx.rows._version != ctx.version:
            raise UsageError(
                "a map of visible blocks was changed in place after a function of its own gradient had read it",
                code="encoder",
                hint="use erased(…, work='dense')",
            )
        packed = ctx.blocks.pack(grad.movedim(-1, 1) if ctx.last else grad)
        return packed.movedim(1, -1) if ctx.last else packed, None, None
