"""U-Net decoder (arXiv 1505.04597) from any pyramid to full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Features
from medssl.encoders.norms import convolution
from medssl.encoders.settings import lengths, positive
from medssl.errors import UsageError
from medssl.heads.upsampling import check_levels, double_convolution, resized, steps_between, transposed

WIDEST = 320
"""Largest number of channels of the decoder, as in nnU-Net."""


class UNetDecoder(nn.Module):
    """From the coarsest level up, joined with each finer level and, at full resolution, with the image itself.

    A map at stride ``s`` has ``min(width · s, 320)`` channels. The image joins only where the finest level is
    coarser than the image.

    Args:
        channels: of the encoder's levels, finest first.
        strides: of the encoder's levels, finest first.
        in_channels: channels of the image.
        out_channels: channels of the result.
        width: channels at full resolution.

    Raises:
        RecipeError: a setting is out of range.
        UsageError: strides are no whole multiples of one another.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[tuple[int, ...]],
        in_channels: int,
        out_channels: int,
        width: int = 32,
    ) -> None:
        super().__init__()
        numbers = {"in_channels": in_channels, "out_channels": out_channels, "width": width, "levels": len(channels)}
        for name, value in numbers.items():
            positive(name, value)
        lengths("strides", strides, len(channels))
        dims = len(strides[0])
        self.channels = tuple(channels)
        inputs = channels[-1]
        self.rises = nn.ModuleList()
        for level in range(len(channels) - 2, -1, -1):
            rise = Rise(inputs, channels[level], strides[level + 1], strides[level], width)
            self.rises.append(rise)
            inputs = rise.outputs
        self.image: nn.Module | None = None
        self.last: nn.Module = double_convolution(inputs, width, dims)
        if max(strides[0]) > 1:
            self.image = double_convolution(in_channels, width, dims)
            self.last = Rise(inputs, width, strides[0], (1,) * dims, width)
        self.head = convolution(width, out_channels, 1, 1, dims, bias=True)

    def forward(self, features: Features, image: Tensor) -> Tensor:
        """Maps and the image ``(N, in_channels, i, j, k)`` they were made of to ``(N, out_channels, i, j, k)``.

        Raises:
            UsageError: the levels are not those of the encoder that the decoder was built for.
        """
        check_levels(features, self.channels)
        maps = [level.data for level in features.pyramid]
        x = maps[-1]
        for rise, skip in zip(self.rises, reversed(maps[:-1]), strict=True):
            x = rise(x, skip)
        x = self.last(x) if self.image is None else self.last(x, self.image(image))
        out: Tensor = self.head(x)
        return out


class Rise(nn.Module):
    """From one level to the next finer one, in steps of small factors, and joined with it there.

    Args:
        inputs: channels that come from below.
        skip: channels of the finer level.
        coarse: stride below.
        fine: stride of the finer level.
        width: channels of the decoder at full resolution.
    """

    def __init__(self, inputs: int, skip: int, coarse: tuple[int, ...], fine: tuple[int, ...], width: int) -> None:
        super().__init__()
        dims = len(fine)
        stride, parts = coarse, []
        steps = steps_between(coarse, fine)
        for n, factor in enumerate(steps):
            stride = tuple(s // f for s, f in zip(stride, factor, strict=True))
            outputs = min(WIDEST, width * max(stride))
            parts.append(transposed(inputs, outputs, factor))
            if n < len(steps) - 1:
                parts.append(double_convolution(outputs, outputs, dims))
            inputs = outputs
        self.up = nn.Sequential(*parts)
        self.outputs = min(WIDEST, width * max(fine))
        self.join = double_convolution(inputs + skip, self.outputs, dims)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``(N, inputs, …)`` and the finer level to ``(N, outputs, …)`` at the finer level's resolution.

        Raises:
            UsageError: in training, the finer level has a single site: instance norms have nothing to take a spread of.
        """
        x = resized(self.up(x), skip.shape[2:])
        if x.shape[2:].numel() == 1 and self.training:
            raise UsageError(
                "a U-Net decoder needs more than one site at every level but the coarsest",
                code="encoder",
                hint="use a larger crop, or an encoder with smaller strides",
            )
        out: Tensor = self.join(torch.cat([x, skip], dim=1))
        return out
