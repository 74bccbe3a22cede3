"""MAE: a ViT encodes the visible patches only, and a light decoder rebuilds the rest.

He et al., CVPR 2022, arXiv 2111.06377.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.encoders.patches import from_patches
from medssl.errors import UsageError
from medssl.heads.token_decoder import TokenDecoder
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.masked.rebuild import (
    cell_edge,
    hidden_cells,
    masked_crops,
    rebuilding_loss,
    rebuilding_pictures,
    require_masking,
)
from medssl.views.view import Batch, Role, Views


class MAE(Method):
    """Masked pretraining of a transformer that leaves hidden tokens out.

    Args:
        encoder: leaves hidden tokens out (``masking == "drop"``).
        ratio: share of cells that are hidden.
        cell: edge of a cell in voxels, a multiple of the patch; None takes the patch.
        decoder_width: length of the decoder's tokens.
        decoder_depth: blocks of the decoder.
        decoder_heads: attention heads of the decoder; divide ``decoder_width``.
        normalize_target: whether each patch's own mean and spread are taken out of the target (norm-pix).

    Raises:
        UsageError: the encoder cannot leave tokens out.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        ratio: Annotated[float, Field(gt=0, lt=1)] = 0.75,
        cell: Annotated[int, Field(ge=1)] | None = None,
        decoder_width: Annotated[int, Field(ge=1)] = 192,
        decoder_depth: Annotated[int, Field(ge=1)] = 2,
        decoder_heads: Annotated[int, Field(ge=1)] = 6,
        normalize_target: bool = True,
    ) -> None:
        super().__init__()
        require_masking(encoder, "drop", "MAE")
        self.encoder = encoder
        self.patch = encoder.strides[0]
        self.decoder = TokenDecoder(
            encoder.width,
            self.patch,
            encoder.in_channels,
            width=decoder_width,
            depth=decoder_depth,
            heads=decoder_heads,
        )
        self.ratio = ratio
        self.cell = cell_edge(cell, self.patch)
        self.normalize_target = normalize_target

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """One masked crop of each scan."""
        return {"view": masked_crops(settings, self.ratio, self.cell)}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``rebuilt``: the voxels of every crop, as told from its visible tokens."""
        views = batch["view"]
        tokens = self.encoder(views.image, hidden_cells(views)).tokens
        if tokens is None:
            raise UsageError(f"MAE needs an encoder with tokens, got {type(self.encoder).__name__}", code="method")
        return {"rebuilt": from_patches(self.decoder(tokens), tokens.grid, self.patch)}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error over hidden voxels; padding is never a target."""
        return rebuilding_loss(vectors["rebuilt"], batch["view"], self._cells(batch["view"]), ctx)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @torch.no_grad()
    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """Input, masked and rebuilt."""
        return rebuilding_pictures(self.encode(batch, ctx)["rebuilt"], batch["view"], self._cells(batch["view"]))

    def _cells(self, views: Views) -> tuple[int, ...] | None:
        if not self.normalize_target:
            return None
        return tuple(length // edge for length, edge in zip(views.image.shape[2:], self.patch, strict=True))
