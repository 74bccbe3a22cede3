"""Vision transformer (arXiv 2010.11929) for volumes, with the visible tokens only where cells are hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Encoder, FeatureMap, Features, Tokens
from medssl.encoders.inputs import check_input
from medssl.encoders.patches import to_patches
from medssl.encoders.settings import dimensions, per_axis, positive
from medssl.encoders.sites import Sites
from medssl.encoders.taps import tapped
from medssl.encoders.transformer import Block, grid_places, sine_cosine, start_transformer
from medssl.errors import RecipeError, UsageError


class ViT(Encoder):
    """A plain pre-norm transformer over patches, with sine-cosine positions and no class token.

    With ``hidden`` and ``fill="drop"`` only visible tokens enter (MAE, arXiv 2111.06377): the pyramid is then empty
    and ``tokens`` holds the visible ones with their index. With ``zero`` or ``learned`` hidden tokens are replaced
    before the first block (SimMIM, arXiv 2111.09886) and the pyramid is whole.

    Args:
        in_channels: channels of the input.
        patch: edge of a patch, for all axes or for each.
        width: length of a token.
        depth: blocks.
        heads: attention heads; divide ``width``.
        mlp_ratio: hidden width of each block's MLP over ``width``.
        dims: 3 for volumes, 2 for images.

    Raises:
        RecipeError: a setting is out of range.
    """

    masking = "drop"

    def __init__(
        self,
        in_channels: int = 1,
        *,
        patch: int | tuple[int, ...] = 16,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        mlp_ratio: float = 4.0,
        dims: int = 3,
    ) -> None:
        super().__init__()
        numbers = {"in_channels": in_channels, "width": width, "depth": depth, "heads": heads, "mlp_ratio": mlp_ratio}
        for name, value in numbers.items():
            positive(name, value)
        dimensions(dims)
        if width % heads:
            raise RecipeError(f"heads must divide the width {width}, got {heads}")
        if width < 2 * dims:
            raise RecipeError(f"width must be {2 * dims} or more to hold positions, got {width}")
        self.patch = per_axis("patch", patch, dims)
        self.in_channels, self.dims, self.width = in_channels, dims, width
        self.channels, self.strides = (width,), (self.patch,)
        self.patch_embed = nn.Linear(in_channels * math.prod(self.patch), width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        start_transformer(self)
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(
        self, x: Tensor, hidden: Tensor | None = None, fill: str = "drop", taps: Sequence[str] = ()
    ) -> Features:
        """Features of a batch; see ``Encoder.forward``.

        Raises:
            UsageError: the patch does not divide the input, cells are finer than patches or no whole multiple of
                them, or (with ``drop``) samples differ in their number of visible tokens.
        """
        check_input(self, x, hidden, fill)
        grid = self._grid(x.shape[2:])
        visible = None if hidden is None else self._visible(hidden, grid, x.shape[2:])
        place = grid_places(grid, x.device)
        rows = to_patches(x, self.patch)
        index = torch.arange(len(place), device=x.device).expand(len(x), -1)
        if visible is not None and fill == "drop":
            index = _kept(visible)
            rows = rows.gather(1, index.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))
            tokens = self.patch_embed(rows)
        elif visible is not None:
            # erased before and after: not even a gradient may meet what stood there
            rows = torch.where(visible.unsqueeze(-1), rows, rows.new_zeros(()))
            tokens = self.patch_embed(rows)
            stand_in = self.mask_token if fill == "learned" else torch.zeros_like(self.mask_token)
            tokens = torch.where(visible.unsqueeze(-1), tokens, stand_in.to(tokens.dtype))
        else:
            tokens = self.patch_embed(rows)
        tokens = tokens + sine_cosine(place, self.width)[index].to(tokens.dtype)
        with tapped(self, taps) as found:
            for block in self.blocks:
                tokens = block(tokens)
            tokens = self.norm(tokens)
        return self._features(tokens, index, visible, grid, found)

    def _features(
        self, tokens: Tensor, index: Tensor, visible: Tensor | None, grid: tuple[int, ...], found: dict[str, Tensor]
    ) -> Features:
        patch = torch.tensor(self.patch, dtype=torch.float32, device=tokens.device)
        place = (grid_places(grid, tokens.device)[index] + 0.5) * patch - 0.5
        whole = tokens.shape[1] == math.prod(grid)
        pyramid = []
        if whole:
            pyramid = [FeatureMap(tokens.transpose(1, 2).reshape(len(tokens), self.width, *grid), self.patch)]
        pooled = tokens.mean(1)
        if visible is not None and whole:
            share = visible.to(tokens.dtype) / visible.sum(1, keepdim=True)
            pooled = (tokens * share.unsqueeze(-1)).sum(1)
        return Features(pyramid, pooled, Tokens(tokens, place, index, grid), found)

    def _grid(self, image: Sequence[int]) -> tuple[int, ...]:
        if any(n % p for n, p in zip(image, self.patch, strict=True)):
            raise UsageError(
                f"patches {self.patch} must divide the input {tuple(image)} along each axis",
                code="encoder",
                hint="choose a crop that is a multiple of the patch",
            )
        return tuple(n // p for n, p in zip(image, self.patch, strict=True))

    def _visible(self, hidden: Tensor, grid: tuple[int, ...], image: Sequence[int]) -> Tensor:
        sites = Sites(hidden, image)
        if any(g % c for g, c in zip(grid, sites.cells, strict=True)):
            raise UsageError(
                f"cells {sites.cells} must divide the tokens {grid}: a cell is a whole number of patches",
                code="encoder",
            )
        active = sites.active(grid)
        if active is None:
            return torch.ones(len(hidden), math.prod(grid), dtype=torch.bool, device=hidden.device)
        return active.flatten(1)


def _kept(visible: Tensor) -> Tensor:
    """Indices ``(N, n)`` of the visible tokens, ascending."""
    counts = visible.sum(1)
    if int(counts.min()) != int(counts.max()):
        raise UsageError(
            f"every sample must have the same number of visible tokens to drop the others, got {counts.tolist()}",
            code="encoder",
            hint="draw masks of equal count, or use fill='learned'",
        )
    return visible.nonzero()[:, 1].reshape(len(visible), -1)
