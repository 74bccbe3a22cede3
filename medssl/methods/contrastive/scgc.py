"""SCGC: crops attract their neighbours in a graph, and these the neighbours' neighbours.

Kulatilleke, Portmann and Chandra, arXiv 2204.12656. −log( Σⱼ Aᵢⱼ e^{τs} / Σⱼ e^{τs} ) with A a power of the adjacency
(Ncontrast) or a sum of powers (influence), and a self-training term KL(P‖Q) on clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Facts, Method, Stage, Survey, Vectors, ViewSettings
from medssl.methods.contrastive.crop_graph import CropGraph, coarse_look
from medssl.methods.contrastive.rows import members, told
from medssl.methods.contrastive.self_training import Clusters, SelfTraining
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine, spread
from medssl.pairing.graph import influence
from medssl.pairing.k_means import k_means
from medssl.pairing.members import Members
from medssl.pairing.pairs import differ
from medssl.pairing.relation import Relation
from medssl.views.view import Batch, Role

CLUSTERING = "clusters"
"""The stage in which clusters train themselves."""


@dataclass(frozen=True)
class Influence:
    """How far the graph's edges reach.

    Args:
        order: r, the longest walk.
        cumulative: whether shorter walks count, too (influence); otherwise walks of r steps alone (Ncontrast).
    """

    order: Annotated[int, Field(ge=1)] = 2
    cumulative: bool = True


GRAPH, INFLUENCE = CropGraph(), Influence()


class SCGC(Method):
    """Contrast with weighted neighbours, on the graph of a batch's crops over all processes.

    Args:
        encoder: whose pooled vector is projected.
        graph: crops of a scan, and which of them are neighbours.
        influence: how far edges reach.
        clusters: the self-training term; null leaves it out, and the run has one stage.
        scale: τ, what similarities are multiplied by.
        outputs: length of the vectors that are compared; the projector is as wide as the encoder's vector.
        norm: the projector's norm.
        same_patient_negatives: whether crops of a patient that are not neighbours repel each other, as in the paper.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        graph: CropGraph = GRAPH,
        influence: Influence = INFLUENCE,
        clusters: SelfTraining | None = None,
        scale: Annotated[float, Field(gt=0)] = 1.0,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
        same_patient_negatives: bool = False,
    ) -> None:
        super().__init__()
        if graph.crops < 2:
            raise RecipeError(f"expected 2 crops of a scan or more, got {graph.crops}", path="graph.crops")
        self.encoder = encoder
        self.projector = Projector(encoder.width, encoder.width, outputs, norm=norm)
        self.graph, self.influence, self.self_training, self.scale = graph, influence, clusters, scale
        self.same_patient_negatives = same_patient_negatives
        self.clusters = None if clusters is None else Clusters(outputs, clusters.count)

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and the others around it."""
        pair = two_views(settings, self.graph.overlap)
        return {**pair, "partner": replace(pair["partner"], count=self.graph.crops - 1)}

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """With clusters a second stage, before which all scans are encoded."""
        if self.self_training is None:
            return [Stage("main", steps, self.views(settings))]
        first = round(self.self_training.start * steps)
        contrasting = Stage("contrast", first, self.views(settings), trains=("encoder", "projector"))
        clustering = Stage(CLUSTERING, steps - first, self.views(settings), survey=True)
        return [contrasting, clustering] if first else [clustering]

    def survey(self, vectors: Vectors, ids: Mapping[str, Tensor], ctx: Context) -> Survey:
        """``centres``: k-means of the crops of all scans.

        Raises:
            InputError: there are fewer crops than clusters (``too-few``), or vectors are not finite (``values``).
        """
        count = 0 if self.self_training is None else self.self_training.count
        return {"centres": k_means(torch.cat([vectors[role] for role in PAIR]), count, ctx.generator).centres}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner``: a vector for every crop."""
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast with neighbours, and where clusters have started β KL(P‖Q).

        Raises:
            EmptyBatchError: no crop has both a neighbour and a negative.
        """
        z = torch.cat([ctx.gather(vectors[role]) for role in PAIR])
        who = members(batch, ctx, places=True)
        look = torch.cat([ctx.gather(coarse_look(batch[role].image)) for role in PAIR])
        edges = self.graph.adjacency(look, who)
        relation, others = self._relation(edges, who)
        similarity = cosine(z, z)
        # neighbours stand in the denominator unweighted, as in the paper
        loss, log = contrast(similarity * self.scale, relation.positive, relation.negative, coupled=False)
        apart = torch.where(others, similarity.detach(), 0.0).sum() / others.sum().clamp(min=1)
        logs = {**told(log, 1 / self.scale, len(who)), "similarity_negative": apart}
        logs |= {"neighbours": edges.sum(dim=1).mean(), "embedding_std": spread(z.detach())}
        if self.self_training is None or self.clusters is None or not self.clusters.start(ctx, CLUSTERING):
            return loss, logs
        divergence, used = self.clusters(z)
        logs |= {"divergence": divergence.detach(), "clusters_in_use": used}
        return loss + self.self_training.weight * divergence, logs

    def _relation(self, edges: Tensor, who: Members) -> tuple[Relation, Tensor]:
        """W⁺, and the pairs of every denominator; and which of these are negatives, not neighbours."""
        weight = influence(edges, self.influence.order, cumulative=self.influence.cumulative).fill_diagonal_(0)
        sums = weight.sum(dim=1, keepdim=True)
        weight = weight / torch.where(sums > 0, sums, 1.0)
        itself = torch.eye(len(who), dtype=torch.bool, device=edges.device)
        others = ~itself if self.same_patient_negatives else differ("patient", who)
        others = others & (weight == 0)
        # a row with neighbours alone has nothing to be told from
        return Relation(weight, (others | (weight > 0)) & others.any(dim=1, keepdim=True)), others

    def check(self, facts: Facts) -> list[str]:
        """Refuse more clusters than there are crops; say when walks reach most of a batch."""
        crops = facts.scans * self.graph.crops
        if self.self_training is not None and self.self_training.count > crops:
            reason = f"expected at most the {crops} crops of all scans, got {self.self_training.count}"
            raise RecipeError(reason, path="clusters.count")
        # an edge is counted at both ends
        degree = self.graph.crops - 1 + 2 * self.graph.neighbours
        nodes, order = facts.batch * self.graph.crops, self.influence.order
        if order > 1 and degree**order >= nodes / 2:
            return [
                f"method.influence.order: {order} steps may reach most of a step's {nodes} crops; 1 tells more apart"
            ]
        return []

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and projector."""
        return {"encoder": self.encoder, "projector": self.projector}
