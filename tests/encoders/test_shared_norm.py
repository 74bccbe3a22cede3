"""Batch norm over all processes: torch's own where there is one, and that of the whole batch where there are two."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medssl.encoders.masked import erased
from medssl.encoders.shared_norm import SharedBatchNorm, share


def alone(value: Tensor) -> Tensor:
    return value


def norm_of(dims: int, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims](3, **settings)
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm


def images(dims: int) -> Tensor:
    return (torch.randn(4, 3, *[5] * dims) * 3 + 2).requires_grad_()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_alone_it_is_torchs_own(dims: int, settings: dict[str, Any]) -> None:
    plain = norm_of(dims, **settings)
    shared = SharedBatchNorm(copy.deepcopy(plain), alone)  # type: ignore[arg-type]
    for _ in range(3):
        x = images(dims)
        y = x.detach().clone().requires_grad_()
        expected, found = plain(x), shared(y)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        weights = torch.randn_like(expected)
        (expected * weights).sum().backward()
        (found * weights).sum().backward()
        torch.testing.assert_close(y.grad, x.grad, rtol=1e-4, atol=1e-5)
    assert shared.state_dict().keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value, msg=name)
    for one, two in zip(shared.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-4)
    plain.eval(), shared.eval()
    torch.testing.assert_close(shared(x), plain(x), rtol=1e-5, atol=1e-5)


def side_by_side(works: list[Callable[[Callable[[Tensor], Tensor]], Tensor]]) -> list[Tensor]:
    """Works that gather from one another, in threads; the graph runs across them."""
    barrier = threading.Barrier(len(works))
    given: list[Any] = [None] * len(works)
    out: list[Any] = [None] * len(works)

    def run(rank: int) -> None:
        def gather(value: Tensor) -> Tensor:
            given[rank] = value
            barrier.wait(10)
            every = torch.cat(given)
            barrier.wait(10)
            return every

        out[rank] = works[rank](gather)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


@pytest.mark.parametrize("counts", [(2, 2), (1, 3), (3, 1)])
@pytest.mark.parametrize("masked", [False, True])
def test_two_processes_are_one(counts: tuple[int, int], masked: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), norm_of(3), nn.Conv3d(3, 2, 1), nn.BatchNorm3d(2)).double()
    x = torch.randn(4, 1, 4, 4, 4, dtype=torch.float64)
    hidden = torch.rand(4, 2, 2, 2) < 0.4
    hidden[:, 0, 0, 0] = False
    other = copy.deepcopy(net)

    def through(network: nn.Module, rows: slice) -> Tensor:
        if not masked:
            return network(x[rows])
        with erased(network, hidden[rows]):
            return network(x[rows])

    expected = through(net, slice(0, 4))
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    pieces = [slice(0, counts[0]), slice(counts[0], 4)]
    copies = [other, copy.deepcopy(other)]

    def work(rank: int) -> Callable[[Callable[[Tensor], Tensor]], Tensor]:
        def run(gather: Callable[[Tensor], Tensor]) -> Tensor:
            share(copies[rank], gather)
            return through(copies[rank], pieces[rank])

        return run

    found = torch.cat(side_by_side([work(0), work(1)]))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    (found * weights).sum().backward()
    for name, value in net.named_parameters():
        both = sum(dict(one.named_parameters())[name].grad for one in copies)
        torch.testing.assert_close(both, value.grad, rtol=1e-8, atol=1e-9, msg=name)
    for one in copies:
        for name, value in net.named_buffers():
            torch.testing.assert_close(dict(one.named_buffers())[name], value, msg=name)


def test_half_precision_is_summed_in_float32() -> None:
    plain = norm_of(3)
    shared = SharedBatchNorm(copy.deepcopy(plain), alone)  # type: ignore[arg-type]
    x = images(3).detach()
    found = shared(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), plain(x), rtol=2e-2, atol=5e-2)


def test_only_batch_norms_change() -> None:
    net = nn.Sequential(nn.Sequential(nn.BatchNorm3d(2)), nn.GroupNorm(1, 2), nn.BatchNorm1d(2).eval())
    weights = list(net.parameters())
    share(net, alone)
    assert [type(part) for part in (net[0][0], net[1], net[2])] == [SharedBatchNorm, nn.GroupNorm, SharedBatchNorm]
    assert not net[2].training
    assert all(one is two for one, two in zip(net.parameters(), weights, strict=True))
