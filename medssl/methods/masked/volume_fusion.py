"""Volume Fusion: how much of one sub-volume was mixed into another is told voxel by voxel, as a segmentation.

Wang et al., *MIS-FM*, arXiv 2306.16925.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError, UsageError
from medssl.heads.segmentation import SegmentationHead
from medssl.loading.other_patient import OtherPatientSampler
from medssl.loading.plan import ScanIds, Survey
from medssl.methods.contract import Context, Facts, Method, Stage, Vectors, ViewSettings
from medssl.methods.masked.fusion_map import Form, FusionMap, class_map
from medssl.methods.masked.rebuild import mean_of_all
from medssl.methods.roles import augmentations, random_crops
from medssl.objectives.dice import class_sums, dice_loss
from medssl.views.view import Batch, Role, Views


class VolumeFusion(Method):
    """Pseudo-segmentation of K + 1 classes of fusion; class 0 is the background volume, class K the foreground.

    Args:
        encoder: gives the pyramid.
        form: ``official`` fuses two crops of a scan in cells of one size, as the authors do; ``nnssl`` fuses scans of
            two patients in boxes drawn over one another.
        classes: K, beside class 0.
        foreground: share of the cells that are of a class above 0 (``official``).
        edge: shortest and longest edge of a cell in voxels; of a box the shortest.
        width: channels of the decoder at full resolution.

    Raises:
        RecipeError: a setting is out of range.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        form: Form = "official",
        classes: Annotated[int, Field(ge=1, le=255)] = 4,
        foreground: Annotated[float, Field(gt=0, le=1)] = 0.7,
        edge: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (8, 32),
        width: Annotated[int, Field(ge=1)] = 32,
    ) -> None:
        super().__init__()
        self.map = FusionMap(form, classes, foreground, edge)
        self.encoder = encoder
        self.head = SegmentationHead(encoder.channels, encoder.strides, encoder.in_channels, classes + 1, width)

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """``view``, the foreground, and ``other``, the background, each with a geometry and values of its own."""
        view = random_crops(settings)
        other = replace(view, augment=augmentations(settings), record=int(self.map.form == "nnssl"))
        return {"view": replace(view, numbers=self.map), "other": other}

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """One stage; in nnssl's form its samples are pairs of patients."""
        sampler = _pairs if self.map.form == "nnssl" else None
        return [Stage("main", steps, self.views(settings), sampler=sampler)]

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view_logits``: of every class for every voxel, ``(N, K + 1, i, j, k)``."""
        image = self.fused(batch)
        return {"view_logits": self.head(self.encoder(image), image)}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross entropy and one minus the mean Dice of all K + 1 classes, over the voxels of all processes.

        A voxel counts where what was mixed into it lies inside its scan.
        """
        logits, label = vectors["view_logits"], self.labels(batch)
        inside = self._inside(batch, label)
        sums = class_sums(logits, label, inside)
        entropy = mean_of_all(sums.entropy, sums.count, ctx)
        dice = dice_loss(ctx.gather(sums.overlap[None]).sum(0))
        right = ((logits.argmax(1, keepdim=True) == label) & inside).sum().float() / sums.count.clamp(min=1)
        return entropy + dice, {"cross_entropy": entropy.detach(), "dice_loss": dice.detach(), "accuracy": right}

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and segmentation head."""
        return {"encoder": self.encoder, "segment": self.head}

    def check(self, facts: Facts) -> list[str]:
        """Refuse pairs of patients where there is one.

        Raises:
            RecipeError: in nnssl's form the scans are of fewer than two patients.
        """
        if self.map.form == "nnssl" and facts.patients < 2:
            raise RecipeError(
                f"fusing two patients needs scans of 2 or more, got {facts.patients}",
                path="form",
                hint="use form: official, which fuses two crops of a scan",
            )
        return []

    @torch.no_grad()
    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """The fused crop, the true share of foreground in it, and the share that is expected by what was found."""
        logits = self.encode(batch, ctx)["view_logits"].float()
        shares = torch.linspace(0, 1, logits.shape[1], device=logits.device)
        found = (logits.softmax(1) * shares.reshape(1, -1, 1, 1, 1)).sum(1, keepdim=True)
        return {"input": self.fused(batch), "seen": self.labels(batch) / self.map.classes, "rebuilt": found}

    def labels(self, batch: Batch) -> Tensor:
        """The class of every voxel, ``(N, 1, i, j, k)`` int64."""
        views = batch["view"]
        maps = [class_map(_numbers(views, row), tuple(views.image.shape[2:])) for row in range(len(views))]
        return torch.stack(maps)[:, None].to(views.image.device)

    def fused(self, batch: Batch) -> Tensor:
        """α of the foreground and 1 − α of the background, with α = class / K; padding is 0."""
        alpha = self.labels(batch).to(batch["view"].image.dtype) / self.map.classes
        front, back = (_turned(batch[role], batch["view"]) for role in ("view", "other"))
        return alpha * front + (1 - alpha) * back

    def _inside(self, batch: Batch, label: Tensor) -> Tensor:
        front, back = (batch[role].valid.any(dim=1, keepdim=True) for role in ("view", "other"))
        return (front | (label == 0)) & (back | (label == self.map.classes))


def _turned(views: Views, drawn: Views) -> Tensor:
    """Values of ``views``, dark for bright where ``drawn`` says so."""
    inverted = [_numbers(drawn, row)["inverted"] for row in range(len(drawn))]
    turn = torch.tensor(inverted, device=views.image.device).reshape(-1, 1, 1, 1, 1)
    return torch.where(turn & views.valid, 1 - views.image, views.image)


def _numbers(views: Views, row: int) -> Mapping[str, Any]:
    if not views.params or "numbers" not in views.params[row]:
        raise UsageError("volume fusion needs views with a fusion map drawn for them, got views without", code="batch")
    found: Mapping[str, Any] = views.params[row]["numbers"]
    return found


def _pairs(ids: ScanIds, surveys: Mapping[str, Survey]) -> OtherPatientSampler:
    return OtherPatientSampler(ids)
