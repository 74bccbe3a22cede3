"""Swin transformer of MONAI (SwinUNETR's encoder, arXiv 2201.01266, 2111.14791) behind the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import Tensor, nn

from medssl.encoders.contract import Encoder, FeatureMap, Features
from medssl.encoders.inputs import check_input
from medssl.encoders.settings import dimensions, lengths, per_axis, positive
from medssl.encoders.sites import Sites
from medssl.encoders.taps import tapped
from medssl.errors import RecipeError, UsageError

PATCH = 2
"""Voxels along a token's edge, as in SwinUNETR and its published weights."""


class Swin(Encoder):
    """A Swin transformer: five levels of strides 2, 4, 8, 16 and 32, each without its own mean and scale.

    Windows move over neighbouring tokens, so hidden tokens cannot be left out: their voxels are erased and their
    tokens replaced by a learned vector (by zeros with ``fill="zero"``); ``drop`` means ``learned`` here. Hidden
    voxels change nothing in the result.

    Any input size works: MONAI pads windows, and odd maps before they are merged, so that a level has
    ``ceil(input / stride)`` sites.

    Args:
        in_channels: channels of the input.
        width: channels of the first level; doubles with each of the next four.
        window: edge of an attention window in tokens, for all axes or for each.
        depths: blocks of the four stages.
        heads: attention heads of the four stages; divide the stage's width.
        use_v2: a residual convolution before each stage (SwinUNETR-V2); needs maps of more than one site.
        dims: 3 for volumes, 2 for images.

    Raises:
        RecipeError: a setting is out of range.
    """

    masking = "fill"

    def __init__(
        self,
        in_channels: int = 1,
        *,
        width: int = 48,
        window: int | tuple[int, ...] = 7,
        depths: tuple[int, ...] = (2, 2, 2, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
        use_v2: bool = False,
        dims: int = 3,
    ) -> None:
        super().__init__()
        positive("in_channels", in_channels)
        positive("width", width)
        dimensions(dims)
        for name, values in (("depths", depths), ("heads", heads)):
            lengths(name, values, 4)
            for value in values:
                positive(name, value)
        for level, count in enumerate(heads):
            if (width * 2**level) % count:
                raise RecipeError(f"heads must divide the stage's width {width * 2**level}, got {count}")
        self.in_channels, self.dims, self.use_v2 = in_channels, dims, use_v2
        self.transformer = SwinTransformer(
            in_chans=in_channels,
            embed_dim=width,
            window_size=per_axis("window", window, dims),
            patch_size=(PATCH,) * dims,
            depths=tuple(depths),
            num_heads=tuple(heads),
            spatial_dims=dims,
            use_v2=use_v2,
        )
        self.mask_token = nn.Parameter(torch.zeros(width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.channels = tuple(width * 2**level for level in range(5))
        self.strides = tuple((PATCH * 2**level,) * dims for level in range(5))
        self.width = self.channels[-1]

    def forward(
        self, x: Tensor, hidden: Tensor | None = None, fill: str = "drop", taps: Sequence[str] = ()
    ) -> Features:
        """Features of a batch; see ``Encoder.forward``.

        Raises:
            UsageError: cells are finer than the patch of 2 voxels, or an input leaves a V2 stage a single site.
        """
        check_input(self, x, hidden, fill)
        if self.use_v2 and max(x.shape[2:]) <= self.strides[-2][0]:
            raise UsageError(
                f"the last V2 stage needs more than one site: an edge above {self.strides[-2][0]}, got "
                f"{tuple(x.shape[2:])}",
                code="encoder",
            )
        sites = None if hidden is None else self._sites(hidden, x.shape[2:])
        with tapped(self, taps) as found, self._filled(sites, fill):
            maps = self.transformer(x if sites is None else sites.erase(x))
        pooled = maps[-1].flatten(2).mean(2) if sites is None else sites.mean(maps[-1])
        pyramid = [FeatureMap(data, stride) for data, stride in zip(maps, self.strides, strict=True)]
        return Features(pyramid=pyramid, pooled=pooled, taps=found)

    @contextmanager
    def _filled(self, sites: Sites | None, fill: str) -> Iterator[None]:
        """Within the scope, hidden tokens are replaced as they leave the patch embedding."""

        def replace(_: nn.Module, __: Any, tokens: Tensor) -> Tensor | None:
            active = None if sites is None else sites.active(tokens.shape[2:])
            if active is None:
                return None
            vector = torch.zeros_like(self.mask_token) if fill == "zero" else self.mask_token
            return torch.where(active, tokens, vector.to(tokens.dtype).reshape(1, -1, *[1] * self.dims))

        handle = self.transformer.patch_embed.register_forward_hook(replace)
        try:
            yield
        finally:
            handle.remove()

    def _sites(self, hidden: Tensor, image: Sequence[int]) -> Sites:
        sites = Sites(hidden, image)
        if any(n % (c * PATCH) for n, c in zip(image, sites.cells, strict=True)):
            raise UsageError(
                f"a cell must be a multiple of {PATCH} voxels: {sites.cells} cells of an input {tuple(image)}",
                code="encoder",
            )
        return sites
