"""Visible blocks give what the dense map gives that is erased after every layer, and the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medssl.encoders.blocks.map import BlockMap
from medssl.encoders.masked import erased
from medssl.encoders.resenc import ResEnc
from medssl.encoders.taps import tapped
from medssl.errors import UsageError
from tests.encoders.blocks.networks import NETWORKS, channels, hidden_cells, spread


def prepared(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    make, shape, cells = NETWORKS[name]
    network = make().to(dtype)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.5, 0.5)
    return network, torch.randn(2, channels(name), *shape, dtype=dtype), hidden_cells(cells)


def step(network: nn.Module, x: Tensor, hidden: Tensor, work: str) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs, and gradients of the input and of every parameter."""
    x = x.clone().requires_grad_()
    with erased(network, hidden, work):
        out = network(x)
    maps = out if isinstance(out, list) else [out]
    assert not any(isinstance(level, BlockMap) for level in maps)
    loss = sum((level * torch.linspace(-1, 1, level.numel()).reshape(level.shape)).sum() for level in maps)
    grads = torch.autograd.grad(loss, [x, *network.parameters()], allow_unused=True)
    assert all(grad is not None for grad in grads)
    return [level.detach() for level in maps], list(grads)


def apart(first: list[Tensor], second: list[Tensor]) -> float:
    """Largest difference, relative to the largest value of each."""
    pairs = zip(first, second, strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-30)) for a, b in pairs)


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_are_those_of_the_dense_map(name: str, training: bool) -> None:
    network, x, hidden = prepared(name)
    network.train(training)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    dense = step(network, x, hidden, "dense")
    moved = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(state)
    blocks = step(network, x, hidden, "blocks")
    assert apart(blocks[0], dense[0]) < 1e-12
    assert apart(blocks[1], dense[1]) < 1e-12
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, moved[key], rtol=1e-12, atol=1e-12)
    shape = NETWORKS[name][1]
    assert (blocks[1][0][spread(hidden, shape).expand_as(x)] == 0).all()


@pytest.mark.parametrize("name", ["resnet, stem 4", "resenc, group", "resenc, anisotropic", "convnext"])
def test_single_precision_is_as_close_as_it_can_be(name: str) -> None:
    network, x, hidden = prepared(name, torch.float32)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    dense = step(network.eval(), x, hidden, "dense")
    network.load_state_dict(state)
    blocks = step(network, x, hidden, "blocks")
    assert apart(blocks[0], dense[0]) < 1e-5
    assert apart(blocks[1], dense[1]) < 1e-4


@pytest.mark.parametrize("name", ["resnet, stem 4", "resenc", "resenc, group", "convnext"])
@pytest.mark.parametrize("training", [True, False])
def test_mixed_precision_has_its_types_and_no_leak(name: str, training: bool) -> None:
    network, x, hidden = prepared(name, torch.float32)
    network.train(training)
    other = torch.where(spread(hidden, NETWORKS[name][1]), float("nan"), x)
    found = {}
    for work in ("dense", "blocks"):
        with torch.autocast("cpu", torch.bfloat16):
            found[work] = step(network, x, hidden, work)
            again = step(network, other, hidden, work)
        # not gradients of weights: torch's own bfloat16 kernel on CPUs gives others for the same dense map again
        for a, b in zip(found[work][0], again[0], strict=True):
            assert torch.equal(a, b)
    assert [a.dtype for a in found["blocks"][0]] == [a.dtype for a in found["dense"][0]]
    assert [a.dtype for a in found["blocks"][1]] == [a.dtype for a in found["dense"][1]]
    assert apart([a.float() for a in found["blocks"][0]], [a.float() for a in found["dense"][0]]) < 0.1


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize("name", NETWORKS)
def test_hidden_voxels_change_no_bit_of_outputs_and_gradients(name: str) -> None:
    network, x, hidden = prepared(name)
    places = spread(hidden, NETWORKS[name][1]).expand_as(x)
    other = x.clone()
    other[places] = float("inf")
    other[0][places[0]] = float("nan")
    first, second = step(network, x, hidden, "blocks"), step(network, other, hidden, "blocks")
    for a, b in zip((*first[0], *first[1]), (*second[0], *second[1]), strict=True):
        assert torch.equal(a, b)
        assert torch.isfinite(a).all()
    with erased(network, hidden, "blocks"), torch.no_grad():
        out = network(other)
    for a, b in zip(out if isinstance(out, list) else [out], first[0], strict=True):
        assert torch.equal(a, b)


def test_taps_are_dense_and_those_of_the_dense_way() -> None:
    torch.manual_seed(0)
    encoder, x, hidden = (
        ResEnc(widths=(4, 6), blocks=(1, 1), strides=(1, 2)),
        torch.randn(2, 1, 16, 16, 16),
        hidden_cells((2, 2, 2)),
    )
    names = ["stem.0", "stem.1", "stages.1.0.body.2"]
    taps = encoder(x, hidden, taps=names).taps
    with tapped(encoder, names) as want, erased(encoder, hidden, "dense") as sites:
        encoder._levels(sites.erase(x))
    for name in names:
        assert type(taps[name]) is Tensor
        torch.testing.assert_close(taps[name], want[name], rtol=1e-4, atol=1e-5)


def test_networks_of_monai_are_masked_without_rewriting_them() -> None:
    nets = pytest.importorskip("monai.networks.nets")
    torch.manual_seed(0)
    makes = {
        "BasicUNet": lambda: nets.BasicUNet(3, 1, 2, (4, 4, 4, 8, 8, 4)),
        "SegResNet": lambda: nets.SegResNet(3, 8, 1, 2, blocks_down=(1, 1, 1), blocks_up=(1, 1)),
        "ResNet": lambda: nets.ResNet("basic", [1, 1, 1, 1], [4, 4, 8, 8], n_input_channels=1, num_classes=3),
    }
    hidden, x = hidden_cells((2, 2, 1)), torch.randn(2, 1, 32, 32, 32, dtype=torch.float64)
    for make in makes.values():
        network = make().double()
        dense, blocks = (step(network, x, hidden, work) for work in ("dense", "blocks"))
        assert apart(blocks[0], dense[0]) < 1e-12
        largest = max(float(grad.abs().max()) for grad in dense[1])
        assert max(float((a - b).abs().max()) for a, b in zip(blocks[1], dense[1], strict=True)) < 1e-12 * largest


def test_the_way_of_work_is_named() -> None:
    network, _, hidden = prepared("resenc")
    with pytest.raises(UsageError, match="work must be one of auto, blocks, dense, got 'sparse'"):
        step(network, torch.zeros(1), hidden, "sparse")
