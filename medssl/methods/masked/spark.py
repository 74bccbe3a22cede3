"""SparK: a CNN rebuilds hidden cells from the visible ones, without a leak.

Tian et al., ICLR 2023, arXiv 2301.03580; in 3D, Wald et al., CVPR 2025, arXiv 2410.23132 (whose trainer lets the
first convolution see a rim of the hidden cells; here hidden voxels change nothing).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.spark_decoder import SparkDecoder
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


class SparK(Method):
    """Masked pretraining of a convolutional encoder with a hierarchical decoder.

    The encoder that is exported is the dense one: erasing is a way to run it, with the same weights.

    Args:
        encoder: erases hidden cells after every layer (``masking == "erase"``).
        ratio: share of cells that are hidden.
        cell: edge of a cell in voxels; None takes the encoder's coarsest stride, as the paper does.
        decoder_width: channels of the decoder at the coarsest level.
        decoder_norm: norm of the decoder; ``batch`` is the paper's, ``instance`` suits batches of a few volumes.
        normalize_target: whether each cell's own mean and spread are taken out of the target, as in the paper.

    Raises:
        UsageError: the encoder cannot erase.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        ratio: Annotated[float, Field(gt=0, lt=1)] = 0.6,
        cell: Annotated[int, Field(ge=1)] | None = None,
        decoder_width: Annotated[int, Field(ge=1)] = 256,
        decoder_norm: Literal["batch", "instance", "none"] = "instance",
        normalize_target: bool = True,
    ) -> None:
        super().__init__()
        require_masking(encoder, "erase", "SparK")
        self.encoder = encoder
        self.decoder = SparkDecoder(
            encoder.channels, encoder.strides, encoder.in_channels, width=decoder_width, norm=decoder_norm
        )
        self.ratio = ratio
        self.cell = cell_edge(cell, encoder.strides[-1])
        self.normalize_target = normalize_target

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """One masked crop of each scan."""
        return {"view": masked_crops(settings, self.ratio, self.cell)}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``rebuilt``: the voxels of every crop, as told from its visible cells."""
        views = batch["view"]
        hidden = hidden_cells(views)
        return {"rebuilt": self.decoder(self.encoder(views.image, hidden), hidden, views.image.shape[2:])}

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
        return views.cells_shape if self.normalize_target else None
