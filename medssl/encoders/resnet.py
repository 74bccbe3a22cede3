"""Residual network (He et al. 2016, arXiv 1512.03385) for volumes or images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Encoder, Features
from medssl.encoders.inputs import check_input, check_statistics
from medssl.encoders.norms import NORMS, Norm, convolution, norm_layer
from medssl.encoders.pyramid import convolutional_features, start_convolutions
from medssl.encoders.settings import dimensions, one_of, positive

BLOCKS: dict[int, tuple[int, ...]] = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Depth → residual blocks of each of the four stages; depth 50 has bottlenecks."""


class ResNet(Encoder):
    """A ResNet with four stages, each half as fine and twice as wide as the one before.

    Args:
        in_channels: channels of the input.
        depth: 10, 18, 34 or 50.
        width: channels of the first stage.
        norm: ``batch``, ``instance`` or ``group``.
        stem_stride: 4 halves twice (convolution and max pooling, as in the paper); 2 leaves the pooling out; 1 is a
            3³ convolution at full resolution. With 4 the stem's own map (stride 2) is the finest level.
        dims: 3 for volumes, 2 for images.

    Raises:
        RecipeError: a setting is out of range.
    """

    masking = "erase"

    def __init__(
        self,
        in_channels: int = 1,
        *,
        depth: Literal[10, 18, 34, 50] = 18,
        width: int = 64,
        norm: Norm = "batch",
        stem_stride: Literal[1, 2, 4] = 4,
        dims: int = 3,
    ) -> None:
        super().__init__()
        positive("in_channels", in_channels)
        positive("width", width)
        one_of("depth", depth, tuple(BLOCKS))
        one_of("norm", norm, NORMS)
        one_of("stem_stride", stem_stride, (1, 2, 4))
        dimensions(dims)
        self.in_channels, self.dims, self.norm = in_channels, dims, norm
        kernel, first = (3, 1) if stem_stride == 1 else (7, 2)
        self.stem = nn.Sequential(
            convolution(in_channels, width, kernel, first, dims), norm_layer(norm, width, dims), nn.ReLU()
        )
        pool = nn.MaxPool3d if dims == 3 else nn.MaxPool2d
        self.pool = pool(3, 2, 1) if stem_stride == 4 else nn.Identity()
        growth = 4 if depth == 50 else 1
        self.stages = _stages(BLOCKS[depth], width, growth, norm, dims)
        widths = tuple(width * 2**level * growth for level in range(4))
        steps = tuple(stem_stride * 2**level for level in range(4))
        self.with_stem = stem_stride == 4
        self.channels = (width, *widths) if self.with_stem else widths
        self.strides = tuple((step,) * dims for step in ((2, *steps) if self.with_stem else steps))
        self.width = widths[-1]
        start_convolutions(self)

    def forward(
        self, x: Tensor, hidden: Tensor | None = None, fill: str = "drop", taps: Sequence[str] = ()
    ) -> Features:
        """Features of a batch; see ``Encoder.forward``."""
        check_input(self, x, hidden, fill)
        check_statistics(self, x, self.norm)
        return convolutional_features(self, self._levels, x, hidden, taps)

    def _levels(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = [x] if self.with_stem else []
        x = self.pool(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def _stages(counts: Sequence[int], width: int, growth: int, norm: Norm, dims: int) -> nn.ModuleList:
    stages = nn.ModuleList()
    inputs = width
    for level, count in enumerate(counts):
        inner = width * 2**level
        blocks = []
        for n in range(count):
            blocks.append(Residual(inputs, inner, 2 if n == 0 < level else 1, growth, norm, dims))
            inputs = inner * growth
        stages.append(nn.Sequential(*blocks))
    return stages


class Residual(nn.Module):
    """A basic (two 3³ convolutions) or bottleneck (1³, 3³, 1³ with four times the width) block.

    Args:
        inputs: channels that come in.
        width: channels of the inner convolutions.
        stride: of the block.
        growth: 1 for a basic block, 4 for a bottleneck.
        norm: after each convolution.
        dims: 3 or 2.
    """

    def __init__(self, inputs: int, width: int, stride: int, growth: int, norm: Norm, dims: int) -> None:
        super().__init__()
        outputs = width * growth
        plan = [(inputs, width, 3, stride), (width, outputs, 3, 1)]
        if growth > 1:
            plan = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        layers: list[nn.Module] = []
        for a, b, kernel, step in plan:
            layers += [convolution(a, b, kernel, step, dims), norm_layer(norm, b, dims), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.skip = nn.Sequential(convolution(inputs, outputs, 1, stride, dims), norm_layer(norm, outputs, dims))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, i, j, k)`` to ``(N, width · growth, …)``."""
        return torch.relu(self.body(x) + self.skip(x))
