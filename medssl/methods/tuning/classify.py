"""Fine-tune an encoder for classification: a scan's target column, or the height in the body that a crop shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import InputError
from medssl.heads.classification import ClassificationHead
from medssl.loading.plan import Stage
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.roles import random_crops
from medssl.methods.tuning.heights import HEIGHT, Bodies, region_of
from medssl.methods.tuning.stages import scaled_groups, tuning_stages
from medssl.views.view import Batch, Role, Views


class Classify(Method):
    """Random crops, one label each.

    Args:
        encoder: gives the pooled vector.
        classes: names of the classes, in the order of their numbers.
        bodies: for the target ``height``: where each scan's body begins and ends.
        target: a target column of the manifest, or ``height``.
        regions: for the target ``height``: into how many equal parts the body is divided.
        dropout: share of the pooled vector that is dropped in training.
        encoder_lr: the encoder's learning rate, as a share of the head's.
        freeze_steps: steps in which the head alone is trained, at first.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: Sequence[str],
        bodies: Bodies | None = None,
        *,
        target: str = HEIGHT,
        regions: Annotated[int, Field(ge=2)] = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        encoder_lr: Annotated[float, Field(ge=0)] = 1.0,
        freeze_steps: Annotated[int, Field(ge=0)] = 0,
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        if target == HEIGHT and len(self.classes) != regions:
            raise InputError(f"{regions} regions need {regions} names, got {len(self.classes)}", code="label")
        if len(self.classes) < 2:
            raise InputError(f"the target {target} must have two classes, got {list(self.classes)}", code="too-few")
        self.encoder = encoder
        self.head = ClassificationHead(encoder.width, len(self.classes), dropout)
        self.bodies, self.target, self.regions = bodies or {}, target, regions
        self.encoder_lr, self.freeze_steps = encoder_lr, freeze_steps

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """``patch``: one crop a scan."""
        return {"patch": random_crops(settings)}

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """The head alone, if asked for, then everything."""
        return tuning_stages(steps, self.freeze_steps, "head.", self.views(settings))

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, i, j, k)``."""
        out: Tensor = self.head(self.encoder(image))
        return out

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``patch``: logits."""
        return {"patch": self(batch["patch"].image)}

    def embedded(self, vectors: Vectors, batch: Batch) -> dict[str, Tensor]:
        """None: logits that fall into a few classes have not collapsed."""
        return {}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy over the crops that have a label."""
        target = self.labels(batch["patch"]).to(vectors["patch"].device)
        loss = self.head.loss(vectors["patch"], target)
        counts = target >= 0
        right = (vectors["patch"].argmax(1) == target) & counts
        return loss, {"accuracy": right.sum() / counts.sum().clamp_min(1)}

    def labels(self, views: Views) -> Tensor:
        """``(N,)`` int64 class of each crop; -1 where there is none.

        Raises:
            InputError: the column is missing in all rows (``label``).
        """
        if self.target == HEIGHT:
            places = zip(views.box.cpu(), views.ids["record"].tolist(), strict=True)
            return torch.tensor([region_of(box.numpy(), self.bodies[record], self.regions) for box, record in places])
        if self.target not in views.targets:
            known = ", ".join(views.targets) or "none"
            raise InputError(f"no row has the target {self.target}, there are: {known}", code="label")
        return torch.nan_to_num(views.targets[self.target], nan=-1.0).round().long()

    def param_groups(self) -> list[dict[str, Any]]:
        """The encoder at its own share of the learning rate."""
        return scaled_groups(self, self.encoder_lr)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and head."""
        return {"encoder": self.encoder, "classify": self.head}

    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """The input."""
        return {"input": batch["patch"].image}
