"""The decoder of SwinUNETR's pretraining (arXiv 2111.14791): from the coarsest map alone, up by interpolation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import instance_norm, interpolate, leaky_relu

from medssl.encoders.norms import convolution
from medssl.encoders.settings import positive
from medssl.heads.upsampling import resized, steps_between

NARROWEST = 8
"""Fewest channels of a step."""


class TrilinearDecoder(nn.Module):
    """For each step a 3³ convolution, an instance norm without scale, a leaky ReLU and linear interpolation.

    Channels halve with each of the first four steps, then stay; a 1³ convolution gives the voxels.

    Args:
        channels: of the coarsest map.
        stride: of the coarsest map along each axis.
        out_channels: channels of the voxels.

    Raises:
        RecipeError: a setting is out of range.

    Example:
        >>> import torch
        >>> TrilinearDecoder(64, (4, 4, 2), 1)(torch.zeros(1, 64, 2, 2, 4), (8, 8, 7)).shape
        torch.Size([1, 1, 8, 8, 7])
    """

    def __init__(self, channels: int, stride: Sequence[int], out_channels: int) -> None:
        super().__init__()
        for name, value in {"channels": channels, "out_channels": out_channels}.items():
            positive(name, value)
        dims = len(stride)
        self.factors = steps_between(stride, (1,) * dims)
        self.steps, inputs = nn.ModuleList(), channels
        for number in range(len(self.factors)):
            outputs = max(NARROWEST, channels // 2 ** min(number + 1, 4))
            self.steps.append(convolution(inputs, outputs, 3, 1, dims, bias=True))
            inputs = outputs
        self.mode = "trilinear" if dims == 3 else "bilinear"
        self.head = convolution(inputs, out_channels, 1, 1, dims, bias=True)

    def forward(self, coarsest: Tensor, shape: Sequence[int]) -> Tensor:
        """``(N, channels, …)`` to voxels ``(N, out_channels, i, j, k)``.

        A map of a single site has no spread to be divided by and goes on without the norm.

        Args:
            coarsest: the map.
            shape: voxels along each axis.
        """
        x = coarsest
        for step, factor in zip(self.steps, self.factors, strict=True):
            x = step(x)
            if math.prod(x.shape[2:]) > 1:
                x = instance_norm(x)
            x = interpolate(leaky_relu(x, 0.01), scale_factor=[float(f) for f in factor], mode=self.mode)
        out: Tensor = self.head(resized(x, shape))
        return out
