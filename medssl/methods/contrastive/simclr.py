"""SimCLR: two overlapping, augmented crops of a scan attract each other, crops of other patients repel.

Chen et al., ICML 2020, arXiv 2002.05709; decoupled (``coupled=False``) it is DCL, Yeh et al., arXiv 2110.06848,
which learns better from the small batches that volumes allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.contrastive.rows import members, told
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine, spread
from medssl.pairing.relation import same_sample
from medssl.views.view import Batch, Role


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
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner``: a vector for every crop."""
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast over the rows of all processes.

        Raises:
            EmptyBatchError: no row has both a positive and a negative.
        """
        z = torch.cat([ctx.gather(vectors[role]) for role in PAIR])
        who = members(batch, ctx)
        relation = same_sample(who, same_patient_negatives=self.same_patient_negatives)
        similarity = cosine(z, z) / self.temperature
        loss, log = contrast(similarity, relation.positive, relation.negative, coupled=self.coupled)
        return loss, {**told(log, self.temperature, len(who)), "embedding_std": spread(z.detach())}

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and projector."""
        return {"encoder": self.encoder, "projector": self.projector}
