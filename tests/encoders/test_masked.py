"""Masked computation of convolutional networks: exact, scoped, and the dense network when nothing is hidden."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from medssl.encoders.masked import erased
from medssl.encoders.sites import Sites
from medssl.errors import UsageError

CELL = 4


def half_hidden(n: int = 2, cells: int = 4, keep: int = 26) -> Tensor:
    order = torch.rand(n, cells**3, generator=torch.Generator().manual_seed(0)).argsort(1)
    return (order >= keep).reshape(n, cells, cells, cells)


def voxels(hidden: Tensor, times: int = CELL) -> Tensor:
    for axis in (1, 2, 3):
        hidden = hidden.repeat_interleave(times, axis)
    return hidden.unsqueeze(1)


def perturbed(x: Tensor, hidden: Tensor) -> Tensor:
    return torch.where(voxels(hidden), 100 * torch.randn_like(x), x)


class Odd(nn.Module):
    """Functional calls, a shift before the first convolution, sigmoid(0) = 0.5, and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(1, 4, 3, padding=1, padding_mode="reflect")
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3, 3))
        self.up = nn.ConvTranspose3d(4, 4, 2, 2)
        self.last = nn.Conv3d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Two maps of 3 and 4 channels."""
        fine = torch.sigmoid(self.first(x + 1))
        mixed = F.conv3d(fine, self.weight, padding=1)
        coarse = F.max_pool3d(mixed, 3, 2, 1)
        gate = F.adaptive_avg_pool3d(coarse, 1)
        back = F.interpolate(coarse * gate, scale_factor=2, mode="trilinear")
        return [self.last(self.up(coarse) + back), coarse]


NETWORKS = {
    "batch": lambda: nn.Sequential(
        nn.Conv3d(1, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.Conv3d(6, 4, 3, 2, 1)
    ),
    "instance": lambda: nn.Sequential(
        nn.Conv3d(1, 6, 3, padding=1), nn.InstanceNorm3d(6, affine=True), nn.MaxPool3d(2)
    ),
    "tracked": lambda: nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.InstanceNorm3d(6, track_running_stats=True)),
    "group": lambda: nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.GroupNorm(3, 6), nn.AvgPool3d(3, 2, 1)),
    "layer": lambda: nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.LayerNorm([6, 16, 16, 16]), nn.Sigmoid()),
    "coarser than the cells": lambda: nn.Sequential(nn.Conv3d(1, 6, 8, 8), nn.BatchNorm3d(6), nn.Conv3d(6, 2, 1)),
    "odd": Odd,
}


def outputs(network: nn.Module, x: Tensor) -> list[Tensor]:
    out = network(x)
    return out if isinstance(out, list) else [out]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_hidden_voxels_change_no_bit(name: str, training: bool) -> None:
    torch.manual_seed(0)
    network, hidden, x = NETWORKS[name]().train(training), half_hidden(), torch.randn(2, 1, 16, 16, 16)
    with erased(network, hidden), torch.no_grad():
        first, second = outputs(network, x), outputs(network, perturbed(x, hidden))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
    with torch.no_grad():  # and the test can fail: the dense network does see them
        assert not torch.equal(outputs(network, x)[0], outputs(network, perturbed(x, hidden))[0])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_mask_of_all_visible_is_the_dense_network_to_the_bit(name: str, training: bool) -> None:
    torch.manual_seed(0)
    network, x = NETWORKS[name]().train(training), torch.randn(2, 1, 16, 16, 16)
    with torch.no_grad():
        dense = outputs(network, x)
        with erased(network, torch.zeros(2, 4, 4, 4, dtype=torch.bool)):
            masked = outputs(network, x)
    for a, b in zip(dense, masked, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("norm", "axes"),
    [
        (nn.BatchNorm3d(3), (0, 2, 3, 4)),
        (nn.InstanceNorm3d(3), (2, 3, 4)),
        (nn.GroupNorm(1, 3), (1, 2, 3, 4)),
        (nn.LayerNorm([3, 16, 16, 16]), (1, 2, 3, 4)),
    ],
)
def test_norms_have_mean_0_and_variance_1_over_active_sites(norm: nn.Module, axes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    hidden, x = half_hidden(), 5 + 3 * torch.randn(2, 3, 16, 16, 16)
    active = (~voxels(hidden)).float().expand_as(x)
    with erased(norm, hidden):
        out = norm(x)
    count = active.sum(axes)
    mean = (out * active).sum(axes) / count
    variance = (out.square() * active).sum(axes) / count - mean.square()
    assert torch.allclose(mean, torch.zeros_like(mean), atol=1e-5)
    assert torch.allclose(variance, torch.ones_like(variance), atol=1e-4)
    assert (out[active == 0] == 0).all()


@pytest.mark.parametrize("norm", [nn.BatchNorm3d(3), nn.InstanceNorm3d(3, affine=True, track_running_stats=True)])
def test_norms_equal_the_plain_norm_of_the_visible_voxels_alone(norm: nn.Module) -> None:
    """Hide the far half of every sample: the result and running statistics are those of the near half."""
    torch.manual_seed(0)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    plain = type(norm)(3, affine=True, track_running_stats=True)
    plain.load_state_dict(norm.state_dict())
    hidden = torch.zeros(2, 2, 1, 1, dtype=torch.bool)
    hidden[:, 1] = True
    x = torch.randn(2, 3, 8, 4, 4) * 2 + 1
    with erased(norm, hidden):
        out = norm(x)
    assert torch.allclose(out[:, :, :4], plain(x[:, :, :4]), atol=1e-5)
    assert (out[:, :, 4:] == 0).all()
    assert torch.allclose(norm.running_mean, plain.running_mean, atol=1e-6)
    assert torch.allclose(norm.running_var, plain.running_var, atol=1e-5)
    assert int(norm.num_batches_tracked) == int(plain.num_batches_tracked)


def test_a_convolution_is_the_sparse_one_written_as_a_loop() -> None:
    torch.manual_seed(0)
    conv, hidden, x = nn.Conv3d(1, 2, 3, padding=1), half_hidden(1, 2, 4), torch.randn(1, 1, 4, 4, 4)
    active = ~voxels(hidden, 2)[0, 0]
    with erased(conv, hidden), torch.no_grad():
        out = conv(x)[0]
    for i in range(4):
        for j in range(4):
            for k in range(4):
                want = torch.zeros(2)
                if active[i, j, k]:
                    want = conv.bias.detach().clone()
                    for a, b, c in [(a, b, c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]:
                        p, q, r = i + a, j + b, k + c
                        if min(p, q, r) >= 0 and max(p, q, r) < 4 and active[p, q, r]:
                            want += conv.weight.detach()[:, 0, a + 1, b + 1, c + 1] * x[0, 0, p, q, r]
                assert torch.allclose(out[:, i, j, k], want, atol=1e-5)


def test_activations_that_are_not_0_at_0_do_not_reach_visible_sites() -> None:
    """The next convolution reads zeros at hidden sites although sigmoid(0) is 0.5."""
    conv = nn.Conv3d(1, 1, 3, padding=1, bias=False)
    nn.init.ones_(conv.weight)
    hidden = torch.zeros(1, 2, 1, 1, dtype=torch.bool)
    hidden[0, 1] = True
    with erased(conv, hidden), torch.no_grad():
        out = conv(torch.sigmoid(torch.zeros(1, 1, 4, 3, 3)))
    assert float(out[0, 0, 1, 1, 1]) == pytest.approx(0.5 * 18)


def test_scopes_nest_and_end() -> None:
    torch.manual_seed(0)
    conv, x = nn.Sequential(nn.Conv3d(1, 1, 3, padding=1), nn.BatchNorm3d(1)), torch.randn(1, 1, 4, 4, 4)
    near = torch.tensor([[[[True]], [[False]]]])
    with torch.no_grad():
        dense = conv.eval()(x)
        with erased(conv, near):
            outer = conv(x)
            with erased(conv, ~near):
                inner = conv(x)
            again = conv(x)
        with erased(conv, ~near):
            alone = conv(x)
    assert torch.equal(outer, again)
    assert torch.equal(inner, alone)
    assert (outer[:, :, :2] == 0).all()
    assert (inner[:, :, 2:] == 0).all()
    assert torch.equal(conv(x), dense)


def test_the_scope_ends_when_something_fails() -> None:
    conv, x = nn.Conv3d(1, 1, 3, padding=1), torch.randn(1, 1, 4, 4, 4)
    dense = conv(x)
    hidden = torch.tensor([[[[True]], [[False]]]])
    with pytest.raises(RuntimeError, match="expected input"), erased(conv, hidden):
        conv(torch.randn(1, 2, 4, 4, 4))
    assert torch.equal(conv(x), dense)
    assert not conv._forward_pre_hooks


def test_a_global_pool_is_the_mean_over_active_sites() -> None:
    hidden = torch.tensor([[[[True]], [[False]]]])
    x = torch.cat([torch.full((1, 1, 2, 2, 2), 9.0), torch.full((1, 1, 2, 2, 2), 3.0)], dim=2)
    pool = nn.AdaptiveAvgPool3d(1)
    with erased(pool, hidden):
        assert float(pool(x)) == 3.0


def test_gradients_equal_those_of_numerical_differences() -> None:
    torch.manual_seed(0)
    network = NETWORKS["batch"]().double()
    hidden, x = half_hidden(1, 2, 4), torch.randn(1, 1, 4, 4, 4, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor) -> Tensor:
        with erased(network, hidden):
            out: Tensor = network(x)
        return out

    assert torch.autograd.gradcheck(run, (x,), atol=1e-6)
    run(x).square().sum().backward()
    assert x.grad is not None
    assert (x.grad[voxels(hidden, 2)] == 0).all()


def test_half_precision_keeps_its_type_and_its_statistics() -> None:
    torch.manual_seed(0)
    norm, hidden = nn.BatchNorm3d(2), half_hidden()
    x = (100 + torch.randn(2, 2, 16, 16, 16)).bfloat16()
    with erased(norm, hidden):
        out = norm(x)
    assert out.dtype == torch.bfloat16
    assert torch.isfinite(out).all()


def test_sites_keep_their_counts() -> None:
    sites = Sites(half_hidden(3, 4, 26), (32, 32, 32))
    for edge in (4, 8, 16, 32):
        active = sites.active((edge,) * 3)
        assert active is not None
        assert active.sum((1, 2, 3, 4)).tolist() == [26 * (edge // 4) ** 3] * 3 == sites.counts((edge,) * 3)
    assert sites.active((2, 2, 2)) is None
    assert sites.counts((2, 2, 2)) == [8] * 3


@pytest.mark.parametrize(
    ("network", "shape", "match"),
    [
        (nn.Conv3d(1, 1, 3), (2, 1, 16, 16, 16), r"\(14, 14, 14\) cannot be divided into cells \(4, 4, 4\)"),
        (nn.Conv3d(1, 1, 3, padding=1), (2, 1, 18, 16, 16), r"cells \(4, 4, 4\) must divide the input \(18, 16, 16\)"),
        (
            nn.Sequential(nn.Flatten(0, 1), nn.Unflatten(0, (4, 1)), nn.Conv3d(1, 1, 3, padding=1)),
            (2, 2, 16, 16, 16),
            "keep batch and space apart",
        ),
    ],
)
def test_maps_that_do_not_fit_the_cells_are_refused(network: nn.Module, shape: tuple[int, ...], match: str) -> None:
    with erased(network, half_hidden()), pytest.raises(UsageError, match=match):
        network(torch.randn(shape))


def test_hidden_must_be_bool() -> None:
    with pytest.raises(UsageError, match="hidden must be bool"):
        Sites(half_hidden().float())
