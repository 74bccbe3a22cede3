"""Visible blocks give what the dense map gives that is erased after every layer, and the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medssl.encoders.blocks.map import BlockMap
from medssl.encoders.masked import erased
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
