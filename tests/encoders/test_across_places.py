"""Functions over places: exact among active sites, or refused by name; the same on blocks and on the dense map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from medssl.encoders.masked import erased
from medssl.errors import UsageError

HIDDEN = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
HIDDEN[0, 0] = True
HIDDEN[1, :, 0, 0] = True


class Then(nn.Module):
    """A shift, so that hidden sites are not zeros, and then something over places."""

    def __init__(self, what: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.what = what
        self.first = nn.Conv3d(1, 3, 1)

    def forward(self, x: Tensor) -> Any:
        """Whatever comes."""
        return self.what(torch.sigmoid(self.first(x)))


def active_values(x: Tensor, network: Then) -> list[Tensor]:
    """``(3, n)`` for each sample."""
    maps = torch.sigmoid(network.first(x))
    shown = ~HIDDEN.repeat_interleave(4, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return [m[:, s] for m, s in zip(maps, shown, strict=True)]


@pytest.mark.parametrize("work", ["dense", "blocks"])
@pytest.mark.parametrize(
    ("what", "want"),
    [
        (lambda x: x.mean((2, 3, 4)), lambda v: torch.stack([s.mean(1) for s in v])),
        (lambda x: x.mean((-1, -2, -3), keepdim=True).flatten(1), lambda v: torch.stack([s.mean(1) for s in v])),
        (lambda x: x.mean((1, 2, 3, 4)), lambda v: torch.stack([s.mean() for s in v])),
        (torch.mean, lambda v: torch.cat(v, 1).mean()),
        (lambda x: x.sum((2, 3, 4)), lambda v: torch.stack([s.sum(1) for s in v])),
        (lambda x: x.movedim(1, -1).mean((1, 2, 3)), lambda v: torch.stack([s.mean(1) for s in v])),
        (lambda x: F.adaptive_avg_pool3d(x, 1).flatten(1), lambda v: torch.stack([s.mean(1) for s in v])),
    ],
)
def test_means_and_sums_are_those_of_active_sites(work: Any, what: Any, want: Any) -> None:
    torch.manual_seed(0)
    network, x = Then(what), torch.randn(2, 1, 8, 8, 8)
    with erased(network, HIDDEN, work), torch.no_grad():
        out = network(x)
    torch.testing.assert_close(out, want(active_values(x, network)))


@pytest.mark.parametrize("work", ["dense", "blocks"])
@pytest.mark.parametrize(
    ("what", "name"),
    [
        (lambda x: torch.var(x, (2, 3, 4)), "var"),
        (lambda x: x.std(), "std"),
        (lambda x: F.softmax(x, dim=-1), "softmax"),
        (lambda x: x.amax((2, 3, 4)), "amax"),
        (torch.max, "max"),
        (lambda x: x.mean(4), "mean"),
        (lambda x: x.topk(2, 3), "topk"),
    ],
)
def test_what_compares_places_is_refused_by_name(work: Any, what: Any, name: str) -> None:
    network = Then(what)
    with erased(network, HIDDEN, work), pytest.raises(UsageError, match=rf"^{name} over places is not known"):
        network(torch.randn(2, 1, 8, 8, 8))
    assert network(torch.randn(2, 1, 8, 8, 8)) is not None


def test_maps_without_hidden_sites_and_weights_are_left_alone() -> None:
    network, weight = Then(lambda x: F.avg_pool3d(x, 8).amax((2, 3, 4))), nn.Parameter(torch.randn(2, 1, 4, 4, 4))
    with erased(network, HIDDEN):
        assert network(torch.randn(2, 1, 8, 8, 8)).shape == (2, 3)
        assert weight.std().ndim == 0
        assert torch.maximum(weight, weight).shape == weight.shape
    with erased(network, torch.zeros_like(HIDDEN)):
        assert network(torch.randn(2, 1, 8, 8, 8)).shape == (2, 3)
