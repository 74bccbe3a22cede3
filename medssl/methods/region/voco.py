"""VoCo: a crop tells, by how much it resembles each cell of a grid, where in the body it lies.

Wu, Zhuang and Chen, CVPR 2024, arXiv 2402.17300; later version arXiv 2410.09890.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder, Features
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.roles import augmentations, turns
from medssl.objectives.cosine import spread
from medssl.objectives.voco import Form, predicted_overlap, voco_loss
from medssl.pairing.momentum import MomentumTeacher
from medssl.pairing.overlap import overlap_shares
from medssl.views.crops.base_grid import BaseGrid, Within
from medssl.views.view import Batch, Role

Cells = Annotated[int, Field(ge=1)]


class VoCo(Method):
    """Overlap of query crops with a grid of base crops, predicted from the similarity of student and teacher.

    Vectors come from all levels of the encoder's pyramid, averaged over space. Nothing crosses processes.

    Args:
        encoder: the student; the teacher is a copy that follows it.
        grid: base crops along i, j and k.
        fit: whether the grid is placed in the scan at its own voxel size (``crop``) or stretched over all of it
            (``resize``, as in the paper).
        queries: query crops a scan.
        momentum: of the teacher, constant.
        form: ``released`` as in the authors' code, ``paper`` as in the article, ``log`` as in the later version.
        width: of the projector's three layers.
        norm: the projector's norm; ``batch`` normalizes over all crops of a step on this process.
    """

    views_agree = False  # crops of different places repel each other

    def __init__(
        self,
        encoder: Encoder,
        *,
        grid: tuple[Cells, Cells, Cells] = (3, 3, 1),
        fit: Literal["crop", "resize"] = "crop",
        queries: Annotated[int, Field(ge=1)] = 2,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.9,
        form: Form = "released",
        width: Annotated[int, Field(ge=1)] = 1024,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(sum(encoder.channels) or encoder.width, width, width, layers=3, norm=norm)
        self.teacher = MomentumTeacher(self._students, momentum)
        self.grid = grid
        self.fit: Literal["crop", "resize"] = fit
        self.queries = queries
        self.form: Form = form

    @property
    def _students(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "projector": self.projector}

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """The grid's cells, and crops anywhere within them. A zoom would belie the labels and is left out."""
        kept, augment = turns(settings), augmentations(settings)
        cells = BaseGrid(self.grid, settings.crop, self.fit)
        base = Role(cells, math.prod(self.grid), spatial=kept, augment=augment)
        query = Role(Within("base", settings.crop), self.queries, spatial=kept, augment=augment)
        return {"base": base, "query": query}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``base``, ``query`` of the student and ``base_teacher``, ``query_teacher``, each crop encoded once."""
        base, query = batch["base"].image, batch["query"].image
        # one forward, so that a batch norm sees bases and queries together
        images = torch.cat([base, query])
        self.teacher.follow(self._students)
        student: Tensor = self.projector(_all_levels(self.encoder(images)))
        with torch.no_grad():
            teacher: Tensor = self.teacher["projector"](_all_levels(self.teacher["encoder"](images)))
        count = len(base)
        return {
            "base": student[:count],
            "query": student[count:],
            "base_teacher": teacher[:count],
            "query_teacher": teacher[count:],
        }

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """L_pos + L_neg + L_base, averaged over the volumes of this process."""
        base, query = batch["base"], batch["query"]
        labels = overlap_shares(query.box, base.box, query.owner, base.owner)
        predicted = predicted_overlap(
            vectors["query"], vectors["base"], vectors["query_teacher"], vectors["base_teacher"]
        )
        parts = voco_loss(labels, predicted, vectors["base"], query.owner, base.owner, self.form)
        same = query.owner[:, None] == base.owner[None, :]
        return parts.total, {
            "loss_positive": parts.positive.detach(),
            "loss_negative": parts.negative.detach(),
            "loss_base": parts.base.detach(),
            "similarity_positive": _mean_of(predicted.detach(), labels > 0),
            "similarity_negative": _mean_of(predicted.detach(), same & (labels == 0)),
            "embedding_std": spread(vectors["base"].detach()),
        }

    def after_step(self, ctx: Context) -> None:
        """The teacher follows."""
        self.teacher.move(self._students, ctx.progress)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and the teacher of both."""
        return {**self._students, "teacher": self.teacher}


def _all_levels(features: Features) -> Tensor:
    """Every level averaged over space, side by side ``(N, sum of channels)``."""
    if not features.pyramid:
        return features.pooled
    return torch.cat([level.data.flatten(2).mean(dim=2) for level in features.pyramid], dim=1)


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)
