"""DCLW: decoupled contrast in which pairs that already agree attract each other less.

Yeh et al., ECCV 2022, arXiv 2110.06848 (equation 7 and the von Mises–Fisher weights after it). It is
``simclr`` with ``coupled: false`` but for the weights, which make no sense with the positive in the denominator.
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
from medssl.objectives.von_mises_fisher import von_mises_fisher
from medssl.pairing.relation import Relation, same_sample
from medssl.views.view import Batch, Role


class DCLW(Method):
    """DCL with weights wᵢ = 2 − N softmaxᵢ(sᵢ/σ) of the attraction, over the vectors of all processes.

    Args:
        encoder: whose pooled vector is projected.
        overlap: how much the two crops of a scan overlap along each axis, at least; with 0 they may only touch.
        temperature: what similarities are divided by.
        sigma: σ of the weights: the smaller, the more the easiest pairs of a batch stand out.
        hidden: width between the projector's two layers.
        outputs: length of the vectors that are compared.
        norm: the projector's norm. ``batch`` is the paper's and keeps vectors apart from the first step on;
            ``layer`` depends on no other row.
        same_patient_negatives: whether other scans of a patient repel each other, too.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        sigma: Annotated[float, Field(gt=0)] = 0.5,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
        same_patient_negatives: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, norm=norm)
        self.overlap = overlap
        self.temperature = temperature
        self.sigma = sigma
        self.same_patient_negatives = same_patient_negatives

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it."""
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner``: a vector for every crop."""
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast over the rows of all processes, over which the weights have mean 1, too.

        Raises:
            EmptyBatchError: no row has both a positive and a negative.
        """
        z = torch.cat([ctx.gather(vectors[role]) for role in PAIR])
        who = members(batch, ctx)
        relation = same_sample(who, same_patient_negatives=self.same_patient_negatives)
        similarity = cosine(z, z)
        pull = attraction(similarity, relation, self.sigma)
        scores = similarity / self.temperature
        loss, log = contrast(scores, relation.positive, relation.negative, coupled=False, pull=pull)
        logs = told(log, self.temperature, len(who))
        return loss, {**logs, "least_weight": pull.amin(), "embedding_std": spread(z.detach())}

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and projector."""
        return {"encoder": self.encoder, "projector": self.projector}


@torch.no_grad()
def attraction(similarity: Tensor, relation: Relation, sigma: float) -> Tensor:
    """The weight of each row's attraction; 1 for rows that do not enter the mean.

    Two rows of one pair have one similarity, so that weights over 2N rows are those over N pairs.

    Args:
        similarity: ``(n, M)`` cosines.
        relation: who is whose positive and negative; of several positives the mean counts.
        sigma: σ.
    """
    positive = relation.positive > 0
    kept = positive.any(dim=1) & (relation.negative > 0).any(dim=1)
    near = torch.where(positive, similarity, 0.0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
    pull = torch.ones_like(near)
    pull[kept] = von_mises_fisher(near[kept], sigma)
    return pull
