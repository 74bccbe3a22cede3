"""The decoder of a masked autoencoder (MAE, arXiv 2111.06377): from visible tokens to the voxels of every patch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Tokens
from medssl.encoders.settings import positive
from medssl.encoders.transformer import Block, grid_places, sine_cosine, start_transformer
from medssl.errors import RecipeError, UsageError


class TokenDecoder(nn.Module):
    """Visible tokens in their places, a learned vector in all others, a few blocks, and a linear layer to voxels.

    Args:
        inputs: length of the encoder's tokens.
        patch: edge of a patch along each axis.
        out_channels: channels of the voxels.
        width: length of the decoder's tokens.
        depth: blocks.
        heads: attention heads; divide ``width``.
        mlp_ratio: hidden width of each block's MLP over ``width``.

    Raises:
        RecipeError: a setting is out of range.
    """

    def __init__(
        self,
        inputs: int,
        patch: tuple[int, ...],
        out_channels: int = 1,
        *,
        width: int = 192,
        depth: int = 2,
        heads: int = 6,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        numbers = {"inputs": inputs, "out_channels": out_channels, "width": width, "depth": depth, "heads": heads}
        for name, value in {**numbers, "mlp_ratio": mlp_ratio}.items():
            positive(name, value)
        if width % heads:
            raise RecipeError(f"heads must divide the width {width}, got {heads}")
        self.width = width
        self.embed = nn.Linear(inputs, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, out_channels * math.prod(patch))
        start_transformer(self)
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tokens) -> Tensor:
        """Voxels ``(N, L, out_channels · patch voxels)`` of every patch, hidden or not, in row-major order.

        ``medssl.encoders.patches.from_patches`` puts them together.

        Raises:
            UsageError: the tokens' length is not the one that the decoder was built for.
        """
        if tokens.data.shape[-1] != self.embed.in_features:
            raise UsageError(
                f"expected tokens of length {self.embed.in_features}, got {tuple(tokens.data.shape)}", code="encoder"
            )
        seen = self.embed(tokens.data)
        place = sine_cosine(grid_places(tokens.grid, seen.device), self.width).to(seen.dtype)
        every = self.mask_token.to(seen.dtype).expand(len(seen), len(place), -1)
        x = every.scatter(1, tokens.index.unsqueeze(-1).expand_as(seen), seen) + place
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x))
        return out
