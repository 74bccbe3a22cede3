"""Fine-tune an encoder for segmentation: a U-Net decoder on its pyramid, Dice and cross entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import InputError
from medssl.heads.segmentation import SegmentationHead
from medssl.loading.plan import Stage
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.roles import augmentations
from medssl.methods.tuning.stages import scaled_groups, tuning_stages
from medssl.views.crops.label_weighted import LabelWeighted
from medssl.views.view import Batch, Role


class Segment(Method):
    """Crops that often hold labelled voxels, one logit a class and voxel.

    Args:
        encoder: gives the pyramid.
        classes: label value to name; the background is value 0.
        width: channels of the decoder at full resolution.
        foreground: chance that a crop is centred on a labelled voxel.
        encoder_lr: the encoder's learning rate, as a share of the head's.
        freeze_steps: steps in which the head alone is trained, at first.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: Mapping[int, str],
        *,
        width: Annotated[int, Field(ge=1)] = 32,
        foreground: Annotated[float, Field(ge=0, le=1)] = 0.66,
        encoder_lr: Annotated[float, Field(ge=0)] = 1.0,
        freeze_steps: Annotated[int, Field(ge=0)] = 0,
    ) -> None:
        super().__init__()
        self.values = [0, *sorted(value for value in classes if value != 0)]
        if len(self.values) < 2:
            raise InputError(
                f"segmentation needs the background and a class, got {dict(classes)}",
                code="label",
                hint="name the classes in the manifest's card or dataset.json",
            )
        self.encoder = encoder
        self.head = SegmentationHead(encoder.channels, encoder.strides, encoder.in_channels, len(self.values), width)
        self.foreground, self.encoder_lr, self.freeze_steps = foreground, encoder_lr, freeze_steps
        table = torch.full((max(self.values) + 1,), -2)
        table[self.values] = torch.arange(len(self.values))
        self.register_buffer("numbers", table, persistent=False)

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """``patch``: one crop a scan, with its labels."""
        crop = LabelWeighted(settings.crop, self.foreground, settings.scale)
        return {"patch": Role(crop, 1, spatial=settings.spatial, augment=augmentations(settings), label=True)}

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """The head alone, if asked for, then everything."""
        return tuning_stages(steps, self.freeze_steps, "head.", self.views(settings))

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes, i, j, k)`` of images ``(N, C, i, j, k)``."""
        out: Tensor = self.head(self.encoder(image), image)
        return out

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``patch``: logits."""
        return {"patch": self(batch["patch"].image)}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """Dice and cross entropy over the voxels inside the scan."""
        views = batch["patch"]
        if views.label is None:
            raise InputError("segmentation needs label maps, this batch has none", code="label")
        target = self.classes_of(views.label)
        loss = self.head.loss(vectors["patch"], target, views.valid.any(dim=1, keepdim=True))
        with torch.no_grad():
            counts = target >= 0
            right = (vectors["patch"].argmax(1, keepdim=True) == target) & counts
            return loss, {"accuracy": right.sum() / counts.sum().clamp_min(1)}

    def classes_of(self, label: Tensor) -> Tensor:
        """Class numbers of label values; -1 stays.

        Raises:
            InputError: a value is none of the declared classes (``label``).
        """
        table: Any = self.numbers
        inside = (label >= 0) & (label < len(table))
        out = torch.where(inside, table[label.clamp(0, len(table) - 1)], torch.where(label < 0, -1, -2))
        if bool((out == -2).any()):
            found = sorted(set(label[out == -2].tolist()))
            raise InputError(f"labels must be among {self.values}, got {found}", code="label")
        return out

    def param_groups(self) -> list[dict[str, Any]]:
        """The encoder at its own share of the learning rate."""
        return scaled_groups(self, self.encoder_lr)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and head."""
        return {"encoder": self.encoder, "segment": self.head}

    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """The input, its labels and the prediction, as class numbers."""
        views = batch["patch"]
        shown = {"input": views.image, "prediction": self(views.image).argmax(1, keepdim=True).float()}
        return shown if views.label is None else {**shown, "label": self.classes_of(views.label).float()}
