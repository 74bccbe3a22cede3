"""Where the visible blocks of a batch stand, and what surrounds each of them.

A map that is divided into cells is kept as the rows of its visible cells alone: ``(V, C, p, q, r)``, V visible cells of
the whole batch in the order of samples, with the sites of one cell each. In memory channels come last, so that one
site is one contiguous piece and a halo is gathered by one selection of sites.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medssl.encoders.sites import Sites


@dataclass(frozen=True)
class Window:
    """The sites that every block sees: its own and those of its neighbours.

    Args:
        index: int64, place of each site of each window among the sites of all blocks; 0 where there is none.
        void: int64, places within ``index`` where there is no visible site: hidden, or beyond the map.
        beyond: int64, those of them that are beyond the map.
        edge: sites of a block along each axis.
        length: sites of a window along each axis.
    """

    index: Tensor
    void: Tensor
    beyond: Tensor
    edge: tuple[int, ...]
    length: tuple[int, ...]


class Blocks:
    """The visible cells of a batch.

    Args:
        sites: what is visible.
        device: where the maps are.
    """

    def __init__(self, sites: Sites, device: torch.device) -> None:
        visible = sites.visible.to(device)
        self.sites, self.device = sites, device
        self.sample, *self.cell = visible.nonzero().unbind(1)
        self.share = len(self.sample) / visible.numel()
        self._number = torch.full(visible.shape, -1, device=device)
        self._number[visible] = torch.arange(len(self.sample), device=device)
        self._windows: dict[tuple[tuple[int, ...], ...], Window] = {}

    @property
    def count(self) -> int:
        """Visible cells of the batch."""
        return len(self.sample)

    def edge(self, shape: Sequence[int]) -> tuple[int, ...] | None:
        """Sites of a block along each axis, for a map of ``shape``; None where it has no hidden sites or no blocks."""
        cells = self.sites.cells
        if len(shape) != len(cells) or not self.sites.fits(shape) or self.sites.active(shape) is None:
            return None
        return tuple(n // c for n, c in zip(shape, cells, strict=True))

    def shape(self, edge: Sequence[int]) -> tuple[int, ...]:
        """Sites of the whole map."""
        return tuple(p * c for p, c in zip(edge, self.sites.cells, strict=True))

    def pack(self, x: Tensor) -> Tensor:
        """``(N, C, i, j, k)`` to the rows of its visible blocks; hidden values are not read."""
        rows: Tensor = _Pack.apply(x, self)  # type: ignore[no-untyped-call]
        return rows

    def unpack(self, rows: Tensor) -> Tensor:
        """Rows to ``(N, C, i, j, k)`` with exact zeros at hidden sites."""
        x: Tensor = _Unpack.apply(rows, self)  # type: ignore[no-untyped-call]
        return x

    def window(self, edge: tuple[int, ...], low: tuple[int, ...], length: tuple[int, ...]) -> Window:
        """What stands from ``low`` (relative to a block's first site) on, ``length`` sites along each axis."""
        key = (edge, low, length)
        if key not in self._windows:
            self._windows[key] = self._surround(edge, low, length)
        return self._windows[key]

    def gather(self, rows: Tensor, window: Window, outside: float = 0.0) -> Tensor:
        """Windows ``(V, C, …)`` of rows: zeros at hidden sites, ``outside`` beyond the map; no gradient flows."""
        flat = rows.movedim(1, -1).reshape(-1, rows.shape[1])
        found = flat.index_select(0, window.index).index_fill_(0, window.void, 0)
        if outside:
            found.index_fill_(0, window.beyond, outside)
        return found.view(len(rows), *window.length, rows.shape[1]).movedim(-1, 1)

    def scatter(self, windows: Tensor, window: Window) -> Tensor:
        """The transpose of ``gather``: every site's sum over the windows that it stands in."""
        flat = windows.movedim(1, -1).reshape(-1, windows.shape[1])
        sites = self.count * math.prod(window.edge)
        index = window.index.index_fill(0, window.void, sites)
        summed = torch.ops.aten.embedding_dense_backward(flat, index, sites + 1, sites, False)
        rows: Tensor = summed[:-1].view(self.count, *window.edge, -1).movedim(-1, 1)
        return rows

    def _surround(self, edge: tuple[int, ...], low: tuple[int, ...], length: tuple[int, ...]) -> Window:
        dims = len(edge)
        inside = torch.ones((), dtype=torch.bool, device=self.device)
        near: list[Tensor] = [self.sample.reshape(-1, *[1] * dims)]
        place = torch.zeros((), dtype=torch.int64, device=self.device)
        seen: list[Any] = [slice(None)]
        for axis, (p, first, n) in enumerate(zip(edge, low, length, strict=True)):
            spread = [1 if a != axis else -1 for a in range(dims)]
            offset = torch.arange(first, first + n, device=self.device)
            cells = torch.arange(first // p, (first + n - 1) // p + 1, device=self.device)
            cell = (self.cell[axis][:, None] + cells).reshape(-1, *spread[:axis], len(cells), *spread[axis + 1 :])
            inside = inside & (cell >= 0) & (cell < self.sites.cells[axis])
            near.append(cell.clamp(0, self.sites.cells[axis] - 1))
            seen.append((offset.div(p, rounding_mode="floor") - first // p).reshape(spread))
            place = place * p + offset.remainder(p).reshape(spread)
        # what stands in the cells around each block, then in the window's sites
        number = torch.where(inside, self._number[tuple(near)], -2)[tuple(seen)]
        index = (number * math.prod(edge) + place).flatten()
        void, beyond = (number < 0).flatten().nonzero().flatten(), (number == -2).flatten().nonzero().flatten()
        return Window(index.index_fill_(0, void, 0), void, beyond, edge, length)

    def _cut(self, x: Tensor) -> tuple[Tensor, tuple[Any, ...]]:
        """``(N, i, j, k, C)`` with each axis cut into cells, and what picks the visible ones."""
        picks: list[Any] = [self.sample]
        for axis, cells in enumerate(self.sites.cells):
            x = torch.unflatten(x, 1 + 2 * axis, (cells, -1))
            picks += [self.cell[axis], slice(None)]
        return x, tuple(picks)


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: Blocks) -> Tensor:
        ctx.blocks = blocks
        cut, picks = blocks._cut(x.movedim(1, -1))
        return cut[picks].movedim(-1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.blocks.unpack(grad), None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, blocks: Blocks) -> Tensor:
        ctx.blocks = blocks
        x = rows.new_zeros(len(blocks.sites.seen), rows.shape[1], *blocks.shape(rows.shape[2:]))
        cut, picks = blocks._cut(x.movedim(1, -1))
        cut[picks] = rows.movedim(1, -1)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.blocks.pack(grad), None
