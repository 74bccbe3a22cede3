"""A map of visible blocks is the dense map to whoever looks at it, and never a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from medssl.encoders.blocks.layout import Blocks
from medssl.encoders.blocks.map import BlockMap, block_map, dense
from medssl.encoders.masked import erased
from medssl.encoders.sites import Sites
from medssl.errors import UsageError
from tests.encoders.blocks.networks import hidden_cells, spread

SHAPE = (4, 6, 4)
HIDDEN = hidden_cells((2, 3, 2))


def made(channels: int = 4, last: bool = False) -> tuple[BlockMap, Tensor]:
    """A map, and the dense one; both lead to the same leaf."""
    sites = Sites(HIDDEN)
    leaf = torch.randn(2, channels, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    leaf.requires_grad_()
    blocks = Blocks(sites, leaf.device)
    found = block_map(blocks.pack(leaf), blocks)
    plain = sites.erase(leaf)
    return (found.movedim(1, -1), plain.movedim(1, -1)) if last else (found, plain)  # type: ignore[return-value]


def erased_everywhere(x: Tensor) -> Tensor:
    channels_last = x.shape[1:4] == SHAPE
    hidden = spread(HIDDEN, SHAPE)
    return torch.where(hidden.movedim(1, -1) if channels_last else hidden, 0, x)


def test_it_says_the_dense_shape() -> None:
    found, plain = made()
    assert found.shape == plain.shape == found.size()
    assert (found.ndim, len(found), found.numel()) == (plain.ndim, len(plain), plain.numel())
    assert (found.dtype, found.device, found.requires_grad) == (plain.dtype, plain.device, True)
    assert found.shape[2:] == SHAPE
    assert found.rows.shape == (int((~HIDDEN).sum()), 4, 2, 2, 2)
    assert torch.equal(dense(found), plain)
    assert dense([found, {"a": (found, 3)}])[1]["a"][1] == 3
    assert str(plain[0, 0, 0].tolist()) in str([found[0, 0, 0].tolist()])
    assert {found: 1}[found] == 1


GATE = torch.rand(2, 4, 1, 1, 1, dtype=torch.float64)
WHOLE = torch.rand(2, 4, *SHAPE, dtype=torch.float64)
KEPT: dict[str, Callable[[Any], Any]] = {
    "sum of maps": lambda x: x + 2 * x - 1,
    "from the left": lambda x: 1 - x / 3,
    "in place": lambda x: (x * 1).add_(3).relu_(),
    "added to": lambda x: torch.add(x, x, alpha=2),
    "a value for each sample and channel": lambda x: x * GATE,
    "a value for each sample": lambda x: x * GATE[:, :1],
    "a value for each channel": lambda x: x + GATE[0],
    "a dense map": lambda x: x * WHOLE,
    "a dense map from the left": lambda x: torch.addcmul(WHOLE, x, WHOLE[:1]),
    "a plane of a map": lambda x: x + WHOLE[:1, :1, :, :1],
    "chosen": lambda x: torch.where(x > 0, x, WHOLE),
    "masked": lambda x: x.masked_fill(x < 0, 5.0),
    "activations": lambda x: F.gelu(F.silu(torch.sigmoid(F.elu(F.leaky_relu(x, 0.1))))),
    "clamped": lambda x: x.clamp(min=0.1).pow(2),
    "joined channels": lambda x: torch.cat([x, WHOLE, x], 1),
    "cut channels": lambda x: x.chunk(2, 1)[1] + x.split(2, 1)[0],
    "a slice of channels": lambda x: x[:, 1:3],
    "means of channels": lambda x: x.mean(1, keepdim=True) + x.amax(1, keepdim=True),
    "softmax of channels": lambda x: torch.softmax(x, dim=1),
    "channels last and back": lambda x: F.layer_norm(x.permute(0, 2, 3, 4, 1) * GATE[0, :, 0, 0, 0], (4,)).movedim(
        4, 1
    ),
    "same shape": lambda x: x.contiguous().reshape(x.shape),
    "detached": lambda x: x.detach() * x,
    "single precision": lambda x: x.float().double(),
}
LEFT: dict[str, Callable[[Any], Any]] = {
    "flattened": lambda x: x.flatten(2),
    "a plane": lambda x: x[:, :, 1],
    "one sample": lambda x: x[0],
    "channels and one axis swapped": lambda x: x.transpose(1, 2),
    "joined samples": lambda x: torch.cat([x, x]),
    "repeated": lambda x: x.repeat(1, 2, 1, 1, 1),
    "stacked": lambda x: torch.stack([x, x]),
    "places of a mask": lambda x: torch.where(x > 0)[0],
    "matrix product": lambda x: x @ x.transpose(-1, -2),
    "einsum": lambda x: torch.einsum("ncijk,nc->nijk", x, GATE.flatten(1)),
    "samples apart": lambda x: torch.cat(x.split(1)),
    "in NumPy": lambda x: torch.from_numpy(x.detach().numpy()),
    "vectors against a map of channels last": lambda x: x * torch.ones(4, 1, 1, 1, 1, dtype=x.dtype)[:1],
}


@pytest.mark.parametrize("name", KEPT)
def test_functions_of_single_sites_keep_the_blocks(name: str) -> None:
    found, plain = made()
    a, b = KEPT[name](found), KEPT[name](plain)
    assert isinstance(a, BlockMap)
    torch.testing.assert_close(dense(a), erased_everywhere(b), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", LEFT)
def test_other_functions_see_the_dense_map(name: str) -> None:
    found, plain = made()
    torch.testing.assert_close(LEFT[name](found), LEFT[name](plain), rtol=0, atol=0, check_stride=False)


def test_channels_that_come_last_meet_linear_layers() -> None:
    found, plain = made(last=True)
    linear = nn.Linear(4, 3).double()
    out = linear(found)
    assert isinstance(out, BlockMap)
    assert out.shape == (2, *SHAPE, 3)
    torch.testing.assert_close(dense(out), erased_everywhere(linear(plain)), rtol=1e-13, atol=1e-13)


class Doubled(torch.autograd.Function):
    """A function with a gradient of its own, of which torch's functions know nothing."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Twice, flattened."""
        return 2 * x.flatten(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Twice, as it was."""
        return 2 * grad.reshape(2, 4, *SHAPE)


def test_gradients_pass_through_functions_with_gradients_of_their_own() -> None:
    found, _ = made()
    leaf = torch.ones_like(found.rows, requires_grad=True)
    x = block_map(leaf * 3, found.blocks)
    out = Doubled.apply(x)
    out.sum().backward()
    assert leaf.grad is not None
    assert (leaf.grad == 6).all()


def test_a_gradient_of_what_was_changed_since_is_refused() -> None:
    found, _ = made()
    x = block_map(torch.ones_like(found.rows, requires_grad=True) * 3, found.blocks)
    x.mul_(2)
    out = Doubled.apply(x)
    with pytest.raises(UsageError, match="changed in place"):
        out.sum().backward()


def fill(x: Any) -> None:
    x[:, :, 0] = 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (fill, "__setitem__ of a map with hidden cells cannot change it in place"),
        (lambda x: x.transpose_(1, 2), "transpose_ of a map"),
        (lambda x: x.register_hook(print), "register_hook of a map"),
        (lambda x: x.squeeze_(), "squeeze_ of a map"),
        (lambda x: torch.add(x, 1, out=x), "add of a map"),
    ],
)
def test_what_would_be_lost_is_refused(change: Callable[[Any], Any], match: str) -> None:
    found, _ = made()
    with torch.no_grad(), pytest.raises(UsageError, match=match):
        change(found)


def test_compiled_code_is_refused() -> None:
    found, _ = made()
    with torch._C.DisableTorchFunction(), pytest.raises(UsageError, match=r"aten\.\S+ cannot be computed on visible"):
        torch.relu(found)


def test_what_leaves_a_scope_is_dense() -> None:
    class Many(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            y = F.conv3d(x, torch.ones(2, 1, 3, 3, 3), padding=1)
            return {"map": y, "maps": [torch.sigmoid(y), (y, 1)], "none": None}

    network = Many()
    with erased(network, HIDDEN, "blocks"):
        out = network(torch.randn(2, 1, *SHAPE))
    assert type(out["map"]) is type(out["maps"][0]) is type(out["maps"][1][0]) is Tensor
    assert (out["maps"][0][spread(HIDDEN, SHAPE).expand_as(out["maps"][0])] == 0).all()


def test_scopes_of_other_cells_do_not_take_the_outer_blocks() -> None:
    conv, x = nn.Conv3d(1, 1, 3, padding=1), torch.randn(2, 1, *SHAPE)
    with torch.no_grad():
        with erased(conv, HIDDEN, "blocks") as sites:
            outer = F.conv3d(sites.erase(x), conv.weight, padding=1)
            with erased(conv, ~HIDDEN, "blocks"):
                inner = conv(outer)
        with erased(conv, ~HIDDEN, "dense"):
            want = conv(dense(outer))
    assert isinstance(outer, BlockMap)
    assert torch.equal(inner, want)
