"""SparK's light decoder (arXiv 2301.03580) from a masked pyramid to voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Features
from medssl.encoders.masked import erased
from medssl.encoders.norms import Norm, convolution, norm_layer
from medssl.encoders.settings import lengths, one_of, positive
from medssl.errors import UsageError
from medssl.heads.upsampling import check_levels, resized, steps_between, transposed

NARROWEST = 8
"""Fewest channels of the decoder: widths halve with each step up."""


class SparkDecoder(nn.Module):
    """Each level is normalized over its active sites, filled with a learned vector elsewhere and projected; then the
    sum climbs to full resolution.

    Levels coarser than the cells have no inactive sites; their vector is unused, with a gradient of zero.

    Args:
        channels: of the encoder's levels, finest first.
        strides: of the encoder's levels, finest first.
        out_channels: channels of the voxels.
        width: channels of the decoder at the coarsest level; halved with each step, 8 at least.
        norm: ``batch``, ``instance`` or ``none`` (the lighter variant of arXiv 2410.23132) before filling.

    Raises:
        RecipeError: a setting is out of range.
        UsageError: strides are no whole multiples of one another.
    """  # noqa: D205

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[tuple[int, ...]],
        out_channels: int = 1,
        *,
        width: int = 256,
        norm: Literal["batch", "instance", "none"] = "batch",
    ) -> None:
        super().__init__()
        for name, value in {"out_channels": out_channels, "width": width, "levels": len(channels)}.items():
            positive(name, value)
        lengths("strides", strides, len(channels))
        one_of("norm", norm, ("batch", "instance", "none"))
        dims = len(strides[0])
        inner: Norm = "batch" if norm == "none" else norm
        self.channels = tuple(channels)
        self.norms = nn.ModuleList(nn.Identity() if norm == "none" else norm_layer(norm, c, dims) for c in channels)
        self.tokens = nn.ParameterList(torch.zeros(1, c, *[1] * dims) for c in channels)
        self.projections, self.climbs = nn.ModuleList(), nn.ModuleList()
        goals = [*reversed(strides[:-1]), (1,) * dims]
        for n, (stride, goal) in enumerate(zip(reversed(strides), goals, strict=True)):
            inputs = channels[-1 - n]
            plain = n == 0 and inputs == width
            self.projections.append(
                nn.Identity() if plain else convolution(inputs, width, 1 if n == 0 else 3, 1, dims, True)
            )
            climb = []
            for factor in steps_between(stride, goal):
                climb.append(_step(width, max(NARROWEST, width // 2), factor, inner))
                width = max(NARROWEST, width // 2)
            self.climbs.append(nn.Sequential(*climb))
        self.head = convolution(width, out_channels, 1, 1, dims, bias=True)
        for token in self.tokens:
            nn.init.trunc_normal_(token, std=0.02)

    def forward(self, features: Features, hidden: Tensor, shape: Sequence[int]) -> Tensor:
        """Voxels ``(N, out_channels, i, j, k)`` of a masked pyramid.

        Args:
            features: of an encoder whose hidden cells were erased.
            hidden: ``(N, cells…)`` bool, the same.
            shape: voxels along each axis.

        Raises:
            UsageError: the levels are not those of the encoder that the decoder was built for.
        """
        check_levels(features, self.channels)
        if (
            isinstance(self.norms[-1], nn.InstanceNorm2d | nn.InstanceNorm3d)
            and features.pyramid[-1].data[0, 0].numel() == 1
        ):
            raise UsageError(
                "instance norm needs more than one site at the coarsest level",
                code="encoder",
                hint="use norm: batch, or a larger crop",
            )
        with erased(self, hidden) as sites:
            maps = [norm(level.data) for norm, level in zip(self.norms, features.pyramid, strict=True)]
        filled = []
        for data, token in zip(maps, self.tokens, strict=True):
            active = sites.active(data.shape[2:])
            everywhere = torch.ones((), dtype=torch.bool, device=data.device)
            filled.append(torch.where(everywhere if active is None else active, data, token.to(data.dtype)))
        x: Tensor | None = None
        for projection, climb, data in zip(self.projections, self.climbs, reversed(filled), strict=True):
            level = projection(data)
            x = climb(level if x is None else resized(x, level.shape[2:]) + level)
        out: Tensor = self.head(resized(x if x is not None else filled[0], shape))
        return out


def _step(inputs: int, outputs: int, factor: Sequence[int], norm: Norm) -> nn.Sequential:
    """Up by ``factor``, then two 3³ convolutions with norms."""
    dims = len(factor)
    return nn.Sequential(
        transposed(inputs, inputs, factor, overlap=True),
        convolution(inputs, inputs, 3, 1, dims),
        norm_layer(norm, inputs, dims),
        nn.ReLU6(),
        convolution(inputs, outputs, 3, 1, dims),
        norm_layer(norm, outputs, dims),
    )
