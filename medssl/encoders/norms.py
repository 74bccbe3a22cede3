"""Convolutions, norms and poolings by number of dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import nn

Norm = Literal["batch", "instance", "group"]
NORMS: tuple[Norm, ...] = ("batch", "instance", "group")


def norm_layer(norm: Norm, channels: int, dims: int = 3) -> nn.Module:
    """A norm with scale and shift; group norm takes 32 groups where they divide the channels.

    Example:
        >>> norm_layer("group", 48).num_groups
        16
    """
    if norm == "group":
        return nn.GroupNorm(math.gcd(32, channels), channels)
    if norm == "batch":
        return nn.BatchNorm3d(channels) if dims == 3 else nn.BatchNorm2d(channels)
    instance = nn.InstanceNorm3d if dims == 3 else nn.InstanceNorm2d
    return instance(channels, affine=True)


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int | Sequence[int] = 1, dims: int = 3, bias: bool = False
) -> nn.Module:
    """A convolution with an odd kernel that keeps the shape at stride 1 (and divides it, rounding up, beyond)."""
    steps = (stride,) * dims if isinstance(stride, int) else tuple(stride)
    if dims == 3:
        i, j, k = steps
        return nn.Conv3d(inputs, outputs, kernel, (i, j, k), padding=kernel // 2, bias=bias)
    i, j = steps
    return nn.Conv2d(inputs, outputs, kernel, (i, j), padding=kernel // 2, bias=bias)


def average_pool(stride: Sequence[int], dims: int = 3) -> nn.Module:
    """Mean over blocks of ``stride`` voxels; a block cut by the border is averaged over what it has."""
    if dims == 3:
        i, j, k = stride
        return nn.AvgPool3d((i, j, k), ceil_mode=True, count_include_pad=False)
    i, j = stride
    return nn.AvgPool2d((i, j), ceil_mode=True, count_include_pad=False)
