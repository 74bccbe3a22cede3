"""Convolutions and pools of visible blocks, whatever their kernels, strides, paddings and dilations."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from medssl.encoders.blocks.map import BlockMap
from medssl.encoders.masked import erased
from tests.encoders.blocks.networks import hidden_cells

CELLS, EDGES = (2, 3, 2), (4, 2, 6)


class Call(nn.Module):
    """A functional call with a weight, after a convolution that makes blocks."""

    def __init__(self, what: Callable[[Tensor, Tensor], Tensor], weight: Tensor) -> None:
        super().__init__()
        self.what, self.weight = what, nn.Parameter(weight)
        self.blocks: bool | None = None

    def forward(self, x: Tensor) -> Tensor:
        """A map."""
        out = self.what(F.conv3d(x, torch.ones_like(x[:1, :, :1, :1, :1]).expand(4, -1, -1, -1, -1)), self.weight)
        self.blocks = isinstance(out, BlockMap)
        return out


def compared(what: Callable[[Tensor, Tensor], Tensor], weight: Tensor) -> bool:
    """Whether blocks were used; outputs and gradients are those of the dense way."""
    torch.manual_seed(0)
    network, hidden = Call(what, weight), hidden_cells(CELLS)
    shape = [c * p for c, p in zip(CELLS, EDGES, strict=True)]
    x = torch.randn(2, 1, *shape, dtype=torch.float64).requires_grad_()
    found = []
    for work in ("dense", "blocks"):
        with erased(network, hidden, work):  # type: ignore[arg-type]
            out = network(x)
        pull = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
        found.append((out, *torch.autograd.grad((out * pull).sum(), [x, network.weight], allow_unused=True)))
    for a, b in zip(*found, strict=True):
        if b is not None:
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-11)
    return bool(network.blocks)


def drawn(seed: int) -> dict[str, Any]:
    """A kernel, stride, dilation and padding that keep the shape or divide it, often unlike along each axis."""
    rng = random.Random(seed)
    kernel, stride, dilation, padding = [], [], [], []
    for p in EDGES:
        # 2 · padding from reach + 1 − stride to reach keeps ⌊n / stride⌋
        fits = []
        while not fits:
            k, s, d = rng.choice((1, 2, 3, 5)), rng.choice([s for s in (1, 2, 3) if p % s == 0]), rng.choice((1, 2, 3))
            reach = d * (k - 1)
            fits = [pad for pad in range(reach + 1) if reach + 1 - s <= 2 * pad <= reach]
        for found, value in zip((kernel, stride, dilation, padding), (k, s, d, rng.choice(fits)), strict=True):
            found.append(value)
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


@pytest.mark.parametrize("seed", range(12))
def test_convolutions(seed: int) -> None:
    plan = drawn(seed)
    groups = (1, 2, 4)[seed % 3]
    weight = torch.randn(4, 4 // groups, *plan.pop("kernel"), dtype=torch.float64)
    bias = torch.randn(4, dtype=torch.float64)
    assert compared(lambda x, w: F.conv3d(x, w, bias, groups=groups, **plan), weight)


@pytest.mark.parametrize("seed", range(12))
def test_transposed_convolutions(seed: int) -> None:
    plan = drawn(seed)
    groups = (1, 2, 4)[seed % 3]
    weight = torch.randn(4, 4 // groups, *plan.pop("kernel"), dtype=torch.float64)
    reach = [d * (k - 1) for d, k in zip(plan["dilation"], weight.shape[2:], strict=True)]
    more = [s - 1 + 2 * p - r for s, p, r in zip(plan["stride"], plan["padding"], reach, strict=True)]
    assert all(m < max(s, d) for m, s, d in zip(more, plan["stride"], plan["dilation"], strict=True))
    assert compared(lambda x, w: F.conv_transpose3d(x, w, None, output_padding=more, groups=groups, **plan), weight)


POOLS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "max": (lambda x: F.max_pool3d(x, 2), True),
    "max of overlapping windows": (lambda x: F.max_pool3d(x, 3, 2, 1), True),
    "max, dilated": (lambda x: F.max_pool3d(x, 2, 2, 1, dilation=2), True),
    "max with its places": (lambda x: F.max_pool3d(x, 2, return_indices=True)[0], False),
    "max, ceiling": (lambda x: F.max_pool3d(x, 2, ceil_mode=True), True),
    "mean": (lambda x: F.avg_pool3d(x, 2), True),
    "mean of overlapping windows": (lambda x: F.avg_pool3d(x, 3, 2, 1), True),
    "mean of what is there": (lambda x: F.avg_pool3d(x, 3, 2, 1, count_include_pad=False), False),
    "mean with a divisor": (lambda x: F.avg_pool3d(x, 3, 1, 1, divisor_override=7), True),
    "mean, ceiling": (lambda x: F.avg_pool3d(x, (1, 2, 3), ceil_mode=True, count_include_pad=False), True),
    "power": (lambda x: F.lp_pool3d(x.square() + 1, 2.0, 2), False),
    "twice as fine": (lambda x: F.interpolate(x, scale_factor=2), True),
    "finer along an axis": (lambda x: F.interpolate(x, size=(8, 6, 36)), True),
    "between sites": (lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"), False),
    "coarser than cells": (lambda x: F.avg_pool3d(x, 4), False),
    "no padding": (lambda x: F.pad(x, [0] * 6), True),
    "padded": (lambda x: F.conv3d(F.pad(torch.sigmoid(x), [1] * 6), x.new_ones(4, 4, 3, 3, 3)), False),
    "rolled": (lambda x: F.conv3d(torch.roll(torch.sigmoid(x), 1, 2), x.new_ones(4, 4, 3, 3, 3), padding=1), True),
    "dropped": (lambda x: F.dropout3d(x, 0.0), False),
}


@pytest.mark.parametrize("name", POOLS)
def test_pools_and_what_moves_places(name: str) -> None:
    pool, blocks = POOLS[name]
    assert compared(lambda x, w: pool(x * w), torch.randn(4, 1, 1, 1, dtype=torch.float64)) == blocks


def test_dense_work_is_chosen_where_halos_are_larger_than_what_is_hidden() -> None:
    network = nn.Conv3d(1, 2, 3, padding=1)
    for edge, hidden_share, want in ((8, 0.75, True), (8, 0.1, False), (2, 0.75, True), (1, 0.75, False)):
        hidden = torch.zeros(1, 4, 4, 4, dtype=torch.bool)
        hidden.view(-1)[: round(64 * hidden_share)] = True
        with erased(network, hidden) as sites:
            out = F.conv3d(sites.erase(torch.randn(1, 1, *(4 * edge,) * 3)), network.weight, padding=1)
            assert isinstance(out, BlockMap) == want, (edge, hidden_share)
