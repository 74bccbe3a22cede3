"""From the coarsest map alone to full resolution: what the bottleneck does not hold cannot be rebuilt."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from medssl.encoders.norms import convolution, norm_layer
from medssl.encoders.settings import positive
from medssl.heads.upsampling import resized, steps_between, transposed

WIDEST = 128
"""Largest number of channels: that of the bottleneck's neighbour in G-SimCLR's autoencoder (arXiv 2009.12007)."""


class BottleneckDecoder(nn.Module):
    """The decoder of an autoencoder: no level, and not the image either, is joined on the way up.

    A map at stride ``s`` has ``min(width · s, 128)`` channels.

    Args:
        channels: of the coarsest map.
        stride: of the coarsest map along each axis.
        out_channels: channels of the voxels.
        width: channels at full resolution.

    Raises:
        RecipeError: a setting is out of range.

    Example:
        >>> import torch
        >>> BottleneckDecoder(8, (4, 4, 2), 1)(torch.zeros(1, 8, 2, 2, 4), (8, 8, 7)).shape
        torch.Size([1, 1, 8, 8, 7])
    """

    def __init__(self, channels: int, stride: Sequence[int], out_channels: int, *, width: int = 16) -> None:
        super().__init__()
        for name, value in {"channels": channels, "out_channels": out_channels, "width": width}.items():
            positive(name, value)
        here, dims = tuple(stride), len(stride)
        parts: list[nn.Module] = []
        for factor in steps_between(here, (1,) * dims):
            here = tuple(s // f for s, f in zip(here, factor, strict=True))
            outputs = min(WIDEST, width * max(here))
            parts += [
                transposed(channels, outputs, factor),
                convolution(outputs, outputs, 3, 1, dims),
                norm_layer("instance", outputs, dims),
                nn.LeakyReLU(0.01),
            ]
            channels = outputs
        self.climb = nn.Sequential(*parts)
        self.head = convolution(channels, out_channels, 1, 1, dims, bias=True)
        # norms have unit spread: with weights by chance the first output is a multiple of the image's own
        nn.init.zeros_(self.head.weight)  # type: ignore[arg-type]

    def forward(self, coarsest: Tensor, shape: Sequence[int]) -> Tensor:
        """``(N, channels, …)`` to voxels ``(N, out_channels, i, j, k)``.

        Args:
            coarsest: the map.
            shape: voxels along each axis.
        """
        out: Tensor = self.head(resized(self.climb(coarsest), shape))
        return out
