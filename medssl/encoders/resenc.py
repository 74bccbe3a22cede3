"""Residual encoder of a U-Net (nnU-Net revisited, arXiv 2404.09556): finest level at full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from medssl.encoders.contract import Encoder, Features
from medssl.encoders.inputs import check_input, check_statistics
from medssl.encoders.norms import NORMS, Norm, average_pool, convolution, norm_layer
from medssl.encoders.pyramid import convolutional_features, start_convolutions
from medssl.encoders.settings import dimensions, lengths, one_of, per_axis, positive

SLOPE = 0.01
"""Of the leaky ReLU below zero."""


class ResEnc(Encoder):
    """A residual encoder with a stage for each entry of ``widths``; the defaults are those of ResEnc-L.

    Convolutions have no bias, since a norm follows each.

    Args:
        in_channels: channels of the input.
        widths: channels of each stage.
        blocks: residual blocks of each stage.
        strides: of each stage's first block; an entry may name each axis.
        kernel: edge of the convolutions, odd.
        norm: ``instance``, ``batch`` or ``group``.
        dims: 3 for volumes, 2 for images.

    Raises:
        RecipeError: a setting is out of range, or the lists differ in length.
    """

    masking = "erase"

    def __init__(
        self,
        in_channels: int = 1,
        *,
        widths: tuple[int, ...] = (32, 64, 128, 256, 320, 320),
        blocks: tuple[int, ...] = (1, 3, 4, 6, 6, 6),
        strides: tuple[int | tuple[int, ...], ...] = (1, 2, 2, 2, 2, 2),
        kernel: int = 3,
        norm: Norm = "instance",
        dims: int = 3,
    ) -> None:
        super().__init__()
        positive("in_channels", in_channels)
        dimensions(dims)
        one_of("norm", norm, NORMS)
        one_of("kernel", kernel, (1, 3, 5, 7))
        positive("widths (how many)", len(widths))
        for name, values in (("blocks", blocks), ("strides", strides)):
            lengths(name, values, len(widths))
        for name, values in (("widths", widths), ("blocks", blocks)):
            for value in values:
                positive(name, value)
        steps = [per_axis("strides", stride, dims) for stride in strides]
        self.in_channels, self.dims, self.norm = in_channels, dims, norm
        self.stem = nn.Sequential(
            convolution(in_channels, widths[0], kernel, 1, dims), norm_layer(norm, widths[0], dims), nn.LeakyReLU(SLOPE)
        )
        self.stages = nn.ModuleList()
        inputs = widths[0]
        for width, count, step in zip(widths, blocks, steps, strict=True):
            first = ResidualD(inputs, width, step, kernel, norm)
            rest = [ResidualD(width, width, (1,) * dims, kernel, norm) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            inputs = width
        self.channels = tuple(widths)
        self.strides = _products(steps)
        self.width = widths[-1]
        start_convolutions(self, SLOPE)

    def forward(
        self, x: Tensor, hidden: Tensor | None = None, fill: str = "drop", taps: Sequence[str] = ()
    ) -> Features:
        """Features of a batch; see ``Encoder.forward``."""
        check_input(self, x, hidden, fill)
        check_statistics(self, x, self.norm)
        return convolutional_features(self, self._levels, x, hidden, taps)

    def _levels(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class ResidualD(nn.Module):
    """Two convolutions beside a shortcut of average pooling and a 1³ convolution (ResNet-D, arXiv 1812.01187).

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: along each axis.
        kernel: edge of the convolutions.
        norm: after each convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, ...], kernel: int, norm: Norm) -> None:
        super().__init__()
        dims = len(stride)
        self.body = nn.Sequential(
            convolution(inputs, outputs, kernel, stride, dims),
            norm_layer(norm, outputs, dims),
            nn.LeakyReLU(SLOPE),
            convolution(outputs, outputs, kernel, 1, dims),
            norm_layer(norm, outputs, dims),
        )
        skip: list[nn.Module] = [average_pool(stride, dims)] if max(stride) > 1 else []
        if inputs != outputs:
            skip += [convolution(inputs, outputs, 1, 1, dims), norm_layer(norm, outputs, dims)]
        self.skip = nn.Sequential(*skip)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inputs, i, j, k)`` to ``(N, outputs, …)``."""
        return F.leaky_relu(self.body(x) + self.skip(x), SLOPE)


def _products(steps: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Running products of strides along each axis."""
    found = [steps[0]]
    for step in steps[1:]:
        found.append(tuple(a * b for a, b in zip(found[-1], step, strict=True)))
    return tuple(found)
