"""SimCLR: two overlapping, augmented crops of a scan attract each other, crops of other patients repel.

Chen et al., ICML 2020, arXiv 2002.05709; decoupled (``coupled=False``) it is DCL, Yeh et al., arXiv 2110.06848,
which learns better from the small batches that volumes allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import UsageError
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.roles import random_crops
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine, spread
from medssl.pairing.relation import members_of, same_sample, together
from medssl.views.crops.overlapping import Overlapping
from medssl.views.view import Batch, Role

ROLES = ("view", "partner")


class SimCLR(Method):
    """NT-Xent, or DCL, over the vectors of all processes.

    Args:
        encoder: whose pooled vector is projected.
        overlap: how much the two crops of a scan overlap along each axis, at least; with 0 they may only touch.
        temperature: what similarities are divided by.
        hidden: width between the projector's two layers.
        outputs: length of the vectors that are compared.
        norm: the projector's norm. ``batch`` is the paper's and keeps vectors apart from the first step on;
            ``layer`` depends on no other row.
        coupled: whether the positive stands in the denominator too (False: DCL).
        same_patient_negatives: whether other scans of a patient repel each other, too.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
        coupled: bool = True,
        same_patient_negatives: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, norm=norm)
        self.overlap = overlap
        self.temperature = temperature
        self.coupled = coupled
        self.same_patient_negatives = same_patient_negatives

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it."""
        view = random_crops(settings)
        beside = Overlapping("view", settings.crop, self.overlap, settings.scale)
        return {"view": view, "partner": replace(view, crop=beside)}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner``: a vector for every crop."""
        # one forward, so that a batch norm sees both crops of a pair
        images = torch.cat([batch[role].image for role in ROLES])
        first, second = self.projector(self.encoder(images).pooled).split([len(batch[role]) for role in ROLES])
        return {"view": first, "partner": second}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast over the rows of all processes.

        Raises:
            UsageError: no row has both a positive and a negative, so that nothing could be learned.
        """
        z = torch.cat([ctx.gather(vectors[role]) for role in ROLES])
        who = together(*(members_of(batch, role, ctx.gather) for role in ROLES))
        relation = same_sample(who, same_patient_negatives=self.same_patient_negatives)
        similarity = cosine(z, z)
        loss, log = contrast(similarity / self.temperature, relation.positive, relation.negative, coupled=self.coupled)
        if int(log.rows) == 0:
            raise UsageError(
                f"no positive beside a negative among {len(who)} views: two views a scan and two patients are needed",
                code="batch",
                hint="use a batch of 2 or more patients with known patient_id",
            )
        return loss, {
            "similarity_positive": log.positive * self.temperature,
            "similarity_negative": log.negative * self.temperature,
            "dropped_without_positive": log.without_positive.float(),
            "dropped_without_negative": log.without_negative.float(),
            "embedding_std": spread(z.detach()),
        }

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and projector."""
        return {"encoder": self.encoder, "projector": self.projector}
