"""Segmentation: a U-Net decoder on an encoder's pyramid, with Dice and cross entropy."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from medssl.encoders.contract import Features
from medssl.errors import InputError, RecipeError
from medssl.heads.unet_decoder import UNetDecoder


class SegmentationHead(nn.Module):
    """Logits of classes for each voxel; class 0 is background.

    Args:
        channels: of the encoder's levels, finest first.
        strides: of the encoder's levels, finest first.
        in_channels: channels of the image.
        classes: how many, background included.
        width: channels of the decoder at full resolution.

    Raises:
        RecipeError: a setting is out of range.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[tuple[int, ...]],
        in_channels: int,
        classes: int,
        width: int = 32,
    ) -> None:
        super().__init__()
        from monai.losses import DiceCELoss

        if classes < 2:
            raise RecipeError(f"classes must be 2 or more (background included), got {classes}")
        self.classes = classes
        self.decoder = UNetDecoder(channels, strides, in_channels, classes, width)
        self.dice_and_cross_entropy = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)

    def forward(self, features: Features, image: Tensor) -> Tensor:
        """Logits ``(N, classes, i, j, k)``."""
        out: Tensor = self.decoder(features, image)
        return out

    def loss(self, logits: Tensor, label: Tensor, valid: Tensor | None = None) -> Tensor:
        """One minus the mean foreground Dice, plus cross entropy, over all voxels of the batch that count.

        Dice is taken over the batch, not crop by crop: most crops lack some class, and a Dice of nothing tells
        nothing.

        Args:
            logits: ``(N, classes, i, j, k)``.
            label: ``(N, 1, i, j, k)`` int64; -1 is left out.
            valid: ``(N, 1, i, j, k)`` bool; False is left out.

        Returns:
            A scalar; 0 (with a gradient) where no voxel counts.

        Raises:
            InputError: a label is not among the classes.
        """
        counts = label >= 0 if valid is None else (label >= 0) & valid
        if int(label.max()) >= self.classes:
            raise InputError(f"labels must be below {self.classes}, got {int(label.max())}", code="label")
        if not counts.any():
            return logits.sum() * 0
        # voxels that count, as one row: what is left out enters neither term
        chosen = logits.float().movedim(1, 0)[:, counts[:, 0]]
        out: Tensor = self.dice_and_cross_entropy(chosen[None], label[counts][None, None])
        return out
