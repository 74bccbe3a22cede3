"""gCooL: crops of two views attract each other, while communities are learned beside and contrasted, too.

Li, Jing and Tong, WWW 2022, arXiv 2110.14863.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.crop_graph import CropGraph, coarse_look
from medssl.methods.contrastive.rows import members, told
from medssl.methods.contrastive.self_training import in_use
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.contrastive import ContrastLog, contrast
from medssl.objectives.cosine import cosine, spread, unit
from medssl.pairing.communities import (
    Communities,
    apart,
    community_means,
    community_relation,
    dense_aggregation,
    means_of_others,
    shares,
)
from medssl.pairing.members import Members
from medssl.pairing.pairs import differ, overlap, same
from medssl.pairing.relation import Relation
from medssl.views.view import Batch, Role


@dataclass(frozen=True)
class CommunitySettings:
    """What communities are, and for how long they are learned.

    Args:
        count: of communities.
        edges: λ of the clustering loss, how much all edges count against those within communities.
        balanced: whether a community must be denser than the graph. As released it need not, and one for all is best.
        gamma: γ of e^{−γ‖C − D‖²}, by which communities repel less the farther they lie apart; 0 weighs all alike.
        until: share of the run after which nothing but the contrast of crops is left; null keeps communities to the
            end.
        spare: whether crops of one community repel each other less, by 1 − ⟨Rᵢ, Rⱼ⟩.
    """

    count: Annotated[int, Field(ge=1)] = 8
    edges: Annotated[float, Field(ge=0)] = 1.0
    balanced: bool = True
    gamma: Annotated[float, Field(ge=0)] = 8e-5
    until: Annotated[float, Field(gt=0)] | None = 0.2
    spare: bool = False


GRAPH, COMMUNITIES = CropGraph(), CommunitySettings()


@dataclass(frozen=True)
class Side:
    """The crops of one view, of all processes.

    Args:
        vectors: ``(n, d)``.
        who: their members.
        belongs: R ``(n, K)``.
        look: ``(n, 64 C)`` of ``coarse_look``.
    """

    vectors: Tensor
    who: Members
    belongs: Tensor
    look: Tensor


class GCooL(Method):
    """InfoNCE of crops across two views + a(t) [ c(t) DeCA + (1 − c(t)) InfoNCE of crops and communities ].

    Args:
        encoder: whose pooled vector is projected.
        graph: crops of a scan in each view, and which of them are neighbours.
        communities: how many there are, and for how long they are learned.
        temperature: what similarities are divided by, those to the communities' centres, too.
        hidden: width between the projector's two layers.
        outputs: length of the vectors that are compared.
        norm: the projector's norm.
        same_patient_negatives: whether other crops of a patient repel each other, too, as in the paper.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        graph: CropGraph = GRAPH,
        communities: CommunitySettings = COMMUNITIES,
        temperature: Annotated[float, Field(gt=0)] = 0.3,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
        same_patient_negatives: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, norm=norm)
        self.communities = Communities(outputs, communities.count, temperature)
        self.graph, self.settings, self.temperature = graph, communities, temperature
        self.same_patient_negatives = same_patient_negatives

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """Crops of each scan, and one around each."""
        pair = two_views(settings, self.graph.overlap)
        return {name: replace(role, count=self.graph.crops) for name, role in pair.items()}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner``: a vector for every crop."""
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """All three parts over the crops of all processes, in both directions.

        Raises:
            EmptyBatchError: no crop has a negative.
        """
        one, two = (self._side(vectors[role], batch, role, ctx) for role in PAIR)
        (first, log), (second, _) = self._crops(one, two), self._crops(two, one)
        logs = told(log, self.temperature, len(one.who) + len(two.who))
        dense = (self._dense(one) + self._dense(two)) / 2
        among = (self._among(one, two) + self._among(two, one)) / 2
        kept, share = shares(ctx.step, max(1, ctx.total_steps), self.settings.until)
        crops = (first + second) / 2
        parts = {"loss_crops": crops, "loss_clustering": dense, "loss_communities": among}
        z = torch.cat([one.vectors, two.vectors])
        logs |= {name: part.detach() for name, part in parts.items()}
        logs |= {"communities_in_use": in_use(one.belongs), "embedding_std": spread(z.detach())}
        return crops + kept * (share * dense + (1 - share) * among), logs

    def _side(self, vectors: Tensor, batch: Batch, role: str, ctx: Context) -> Side:
        z = ctx.gather(vectors)
        look = ctx.gather(coarse_look(batch[role].image))
        return Side(z, members(batch, ctx, (role,), places=True), self.communities(z), look)

    def _crops(self, rows: Side, columns: Side) -> tuple[Tensor, ContrastLog]:
        """InfoNCE of the crops of one view with those of the other."""
        positive = _twins(rows.who, columns.who)
        negative = self._may_repel(rows.who, columns.who) & ~positive
        relation = Relation(positive, negative)
        if self.settings.spare:
            relation = relation.weigh(negative=apart(rows.belongs, columns.belongs))
        similarity = cosine(rows.vectors, columns.vectors) / self.temperature
        return contrast(similarity, relation.positive, relation.negative)

    def _dense(self, side: Side) -> Tensor:
        """DeCA on the graph of one view."""
        edges = self.graph.adjacency(side.look, side.who)
        return dense_aggregation(side.belongs, edges, self.settings.edges, balanced=self.settings.balanced)

    def _among(self, rows: Side, columns: Side) -> Tensor:
        """InfoNCE of crops with the means of the other view's communities; 0 where nobody has two to be told apart."""
        means, present = community_means(columns.vectors, columns.belongs)
        twins = _twins(rows.who, columns.who)
        # a crop's own community is its partner's, which is among those of the mean
        partner = columns.belongs[twins.int().argmax(dim=1)]
        relation = community_relation(partner, means, present, self.settings.gamma)
        # away from a community as it is without the row's own patient
        others, left = means_of_others(columns.vectors, columns.belongs, self._may_repel(rows.who, columns.who))
        z = unit(rows.vectors)
        near, far = z @ means.T, torch.einsum("nd,nkd->nk", z, others)
        similarity = torch.where(relation.positive > 0, near, far) / self.temperature
        positive = relation.positive * twins.any(dim=1, keepdim=True)
        return contrast(similarity, positive, relation.negative * left)[0]

    def _may_repel(self, rows: Members, columns: Members) -> Tensor:
        if self.same_patient_negatives:
            return torch.ones(len(rows), len(columns), dtype=torch.bool, device=rows.sample.device)
        return differ("patient", rows, columns)

    def check(self, facts: Facts) -> list[str]:
        """Say when a batch has fewer crops than there are communities."""
        crops = facts.batch * self.graph.crops
        if self.settings.count > crops:
            return [f"method.communities.count: {self.settings.count} of {crops} crops a step; some are always empty"]
        return []

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and communities."""
        return {"encoder": self.encoder, "projector": self.projector, "communities": self.communities}


def _twins(rows: Members, columns: Members) -> Tensor:
    """Each crop's partner ``(n, M)`` bool: of the crops of its scan in the other view the one that it overlaps most."""
    scan = same("sample", rows, columns)
    share = torch.where(scan, overlap(rows, columns), -1.0)
    return scan & (share == share.amax(dim=1, keepdim=True))
