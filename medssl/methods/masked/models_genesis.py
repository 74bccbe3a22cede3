"""Models Genesis: a crop is shuffled, remapped and painted over, and the network gives back what it was.

Zhou et al., Medical Image Analysis 67, 2021, arXiv 2004.07882.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.unet_decoder import UNetDecoder
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.masked.rebuild import everywhere, rebuilding_loss
from medssl.methods.roles import augmentations, random_crops
from medssl.views.augment.bezier import Bezier
from medssl.views.augment.local_shuffle import LocalShuffle
from medssl.views.augment.painting import Painting
from medssl.views.crops.base_grid import Twin
from medssl.views.view import Batch, Role, Spatial

Chance = Annotated[float, Field(ge=0, le=1)]


class ModelsGenesis(Method):
    """Restores the whole crop from a distorted one, through a U-Net decoder.

    Args:
        encoder: gives the pyramid; nothing is hidden from it.
        shuffle: chance of local shuffling.
        windows: of local shuffling; the paper's 10 000 are for 64 × 64 × 32 voxels.
        bezier: chance of a non-linear map of values.
        painting: chance of painting; out-painting four times of five, else in-painting, never both.
        width: channels of the decoder at full resolution.

    Raises:
        RecipeError: no distortion has a chance.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        shuffle: Chance = 0.5,
        windows: Annotated[int, Field(ge=1)] = 10_000,
        bezier: Chance = 0.9,
        painting: Chance = 0.9,
        width: Annotated[int, Field(ge=1)] = 32,
    ) -> None:
        super().__init__()
        if shuffle == bezier == painting == 0:
            raise RecipeError("shuffle, bezier and painting are all 0: there is nothing to undo", path="painting")
        self.encoder = encoder
        channels = encoder.in_channels
        self.decoder = UNetDecoder(encoder.channels, encoder.strides, channels, channels, width)
        self.distortions = (LocalShuffle(p=shuffle, windows=windows), Bezier(p=bezier), Painting(p=painting))

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """``clean``, a crop of each scan, and ``view``, the same voxels distorted.

        What the recipe itself names as augmentation comes before the distortions, and is to be undone as they are.
        """
        clean = replace(random_crops(settings), augment=())
        augment = (*augmentations(settings), *self.distortions)
        return {"clean": clean, "view": Role(Twin("clean", turned=True), spatial=Spatial(), augment=augment)}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``rebuilt``: every crop, as told from its distorted form."""
        image = batch["view"].image
        return {"rebuilt": self.decoder(self.encoder(image), image)}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared error to the clean crop over all its voxels but padding."""
        return rebuilding_loss(vectors["rebuilt"], everywhere(batch["clean"]), None, ctx)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @torch.no_grad()
    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """The clean crop, what the network saw of it, and what it made of that."""
        rebuilt = self.encode(batch, ctx)["rebuilt"]
        return {"input": batch["clean"].image, "seen": batch["view"].image, "rebuilt": rebuilt}
