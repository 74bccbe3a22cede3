"""Networks that meet every function of visible blocks, each with a crop and cells."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from medssl.encoders.resenc import ResEnc
from medssl.encoders.resnet import ResNet

Case = tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]


class Levels(nn.Module):
    """The pyramid of an encoder as a plain network's maps."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> list[Tensor]:
        """Every level."""
        levels: list[Tensor] = self.encoder._levels(x)
        return levels


class Next(nn.Module):
    """A ConvNeXt: large depthwise kernels, layer norm and linear layers over channels that come last."""

    def __init__(self, width: int, kernel: int, dims: int = 3) -> None:
        super().__init__()
        conv = nn.Conv3d if dims == 3 else nn.Conv2d
        self.stem = conv(1, width, 2, 2)
        self.deep = conv(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm, self.wide, self.narrow = (
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )
        self.scale = nn.Parameter(torch.ones(width))
        self.down = nn.Sequential(nn.GroupNorm(1, width), conv(width, 2 * width, 2, 2))
        self.dims = dims

    def forward(self, x: Tensor) -> list[Tensor]:
        """Two maps."""
        x = self.stem(x)
        inner = self.norm(self.deep(x).movedim(1, -1))
        inner = self.scale * self.narrow(F.gelu(self.wide(inner)))
        order = (0, self.dims + 1, *range(1, self.dims + 1))
        x = x + inner.permute(order)
        return [x, self.down(x)]


class Unusual(nn.Module):
    """Dilation, groups, even kernels, 'same' padding, gates, slices and joints of channels, a U of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(2, 8, 4, padding="same")
        self.far = nn.Conv3d(8, 8, 3, padding=4, dilation=4, groups=4, bias=False)
        self.norm = nn.InstanceNorm3d(8, affine=True)
        self.prelu = nn.PReLU(8)
        self.squeeze, self.excite = nn.Conv3d(8, 4, 1), nn.Conv3d(4, 8, 1)
        self.down = nn.Conv3d(8, 12, 3, 2, 1)
        self.up = nn.ConvTranspose3d(12, 8, 3, 2, 1, output_padding=1)
        self.wide = nn.ConvTranspose3d(12, 8, 4, 2, 1, bias=False)
        self.skip = nn.Conv3d(8, 12, 1, 2)
        self.last = nn.Conv3d(26, 4, 3, padding=1, padding_mode="replicate")
        self.place = nn.Parameter(torch.randn(1, 8, 16, 16, 16))

    def forward(self, x: Tensor) -> list[Tensor]:
        """A fine and a coarse map."""
        x = torch.sigmoid(self.first(x)) + self.place
        x = self.prelu(self.norm(self.far(x)))
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(F.adaptive_avg_pool3d(x, 1)))))
        x = x * gate
        strongest = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
        coarse = F.leaky_relu(self.down(x), 0.1, inplace=True)
        coarse = coarse + self.skip(x)
        coarse += F.avg_pool3d(F.interpolate(coarse, scale_factor=2), 2)
        a, b = self.up(coarse).chunk(2, 1)
        c = self.wide(coarse)[:, 2:]
        y = torch.cat([a * torch.tanh(b), c, x, strongest, x, torch.softmax(b, 1)], 1)[:, :26]
        return [self.last(y), F.max_pool3d(coarse, 3, 1, 1)]


def _resnet(**settings: object) -> nn.Module:
    return Levels(ResNet(2, width=4, depth=10, **settings))  # type: ignore[arg-type]


def _resenc(norm: str = "instance", **settings: object) -> nn.Module:
    plan = {"widths": (4, 6, 8), "blocks": (1, 2, 1), "strides": (1, 2, 2)} | settings
    return Levels(ResEnc(2, norm=norm, **plan))  # type: ignore[arg-type]


NETWORKS: dict[str, Case] = {
    "resnet, stem 4": (_resnet, (32, 32, 32), (2, 2, 4)),
    "resnet, stem 1, group": (lambda: _resnet(stem_stride=1, norm="group"), (32, 16, 16), (4, 2, 1)),
    "resnet of bottlenecks": (lambda: Levels(ResNet(2, width=4, depth=50, stem_stride=1)), (16, 16, 16), (2, 2, 2)),
    "resenc": (_resenc, (16, 16, 16), (2, 2, 2)),
    "resenc, batch": (lambda: _resenc("batch"), (16, 24, 8), (2, 3, 1)),
    "resenc, group": (lambda: _resenc("group"), (16, 16, 16), (4, 4, 4)),
    "resenc, anisotropic": (lambda: _resenc(strides=(1, (1, 2, 2), (2, 1, 2))), (8, 16, 16), (2, 4, 2)),
    "resenc, kernel 5": (lambda: _resenc(kernel=5, strides=(1, 4, 1)), (16, 16, 16), (4, 4, 2)),
    "resenc, 2D": (lambda: _resenc(dims=2), (32, 16), (4, 2)),
    "convnext": (lambda: Next(4, 7), (16, 16, 16), (2, 2, 2)),
    "convnext, 2D": (lambda: Next(4, 7, 2), (32, 32), (4, 4)),
    "unusual": (Unusual, (16, 16, 16), (2, 2, 4)),
}


def channels(name: str) -> int:
    """Channels of the input of a network of the table."""
    return 1 if name.startswith("convnext") else 2


def hidden_cells(cells: tuple[int, ...], n: int = 2, seed: int = 0) -> Tensor:
    """Cells of which every sample shows another number, one or more."""
    draw = torch.rand(n, *cells, generator=torch.Generator().manual_seed(seed))
    rank = draw.flatten(1).argsort(1).argsort(1)
    keep = torch.tensor([max(1, rank.shape[1] // (3 + 2 * sample)) for sample in range(n)])
    return (rank >= keep[:, None]).reshape(n, *cells)


def spread(hidden: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Voxels of hidden cells: ``(N, 1, i, j, k)``."""
    for axis, n in enumerate(shape, start=1):
        hidden = hidden.repeat_interleave(n // hidden.shape[axis], axis)
    return hidden.unsqueeze(1)
