"""GroCo: the other views of a scan should be more similar to it than its nearest neighbours of other patients.

Shvetsova et al., ICCV 2023, arXiv 2301.02009. Only the order counts, by a relaxed sorting network; no temperature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, EmptyBatchError, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.rows import members
from medssl.methods.contrastive.samples import by_sample
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.cosine import spread, unit
from medssl.objectives.sorting import SortLog, groco
from medssl.pairing.pairs import differ
from medssl.views.view import Batch, Role


class GroCo(Method):
    """Positives above the hardest negatives, over the vectors of all processes.

    Every view is an anchor: its positives are the scan's other views, its negatives the same view of other patients'
    scans. The gradient goes through anchors alone.

    Args:
        encoder: whose pooled vector is projected.
        overlap: how much the crops of a scan overlap along each axis, at least; with 0 they may only touch.
        positives: of each view: that many crops a scan, beside the first.
        hardest: how many negatives, the most similar ones, are sorted; a batch holds more scans than that.
        steepness: of the sorting network; large values sort harder.
        hidden: width between the projector's three layers.
        outputs: length of the vectors that are compared.
        norm: the projector's norm. ``batch`` is the paper's; ``layer`` depends on no other row.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        positives: Annotated[int, Field(ge=1)] = 1,
        hardest: Annotated[int, Field(ge=1)] = 10,
        steepness: Annotated[float, Field(gt=0)] = 1.0,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 2048,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, layers=3, norm=norm, last_norm=True)
        self.overlap, self.positives = overlap, positives
        self.hardest, self.steepness = hardest, steepness

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and others around it."""
        roles = two_views(settings, self.overlap)
        return {**roles, "partner": replace(roles["partner"], count=self.positives)}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner``: a vector for every crop."""
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The sorting loss over anchors of all processes.

        Raises:
            EmptyBatchError: no view has enough negatives.
        """
        who = members(batch, ctx)
        rows = by_sample(who.sample, 1 + self.positives)
        z = torch.cat([ctx.gather(vectors[role]) for role in PAIR])[rows]
        allowed = differ("patient", who[rows[:, 0]])
        parts = self._sorted(z, allowed) if len(rows) >= self.hardest else []
        if not parts or int(parts[0][1].rows) == 0:
            raise EmptyBatchError(
                f"no view has {self.hardest} negatives among {len(rows)} scans: other patients' scans are needed",
                code="batch",
                hint="use a larger batch of patients with known patient_id, or a smaller method.hardest",
            )
        return torch.stack([part for part, _ in parts]).mean(), _told(z.detach(), allowed, parts[0][1])

    def check(self, facts: Facts) -> list[str]:
        """Refuse more negatives than a batch can hold.

        Raises:
            RecipeError: ``hardest``.
        """
        for count, what in ((facts.batch, "scans a batch"), (facts.patients, "patients")):
            if count - 1 < self.hardest:
                reason = f"expected at most {count - 1}, since there are {count} {what}, got {self.hardest}"
                raise RecipeError(reason, path="hardest", hint="lower method.hardest, or raise optim.batch")
        return []

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and projector."""
        return {"encoder": self.encoder, "projector": self.projector}

    def _sorted(self, z: Tensor, allowed: Tensor) -> list[tuple[Tensor, SortLog]]:
        """Every view in turn is the anchor of all scans; ``z`` is ``(S, views, d)``."""
        out = []
        for n in range(z.shape[1]):
            others = torch.cat([z[:, :n], z[:, n + 1 :]], dim=1)
            anchor = z[:, n]
            out.append(groco(anchor, others, anchor, allowed, hardest=self.hardest, steepness=self.steepness))
        return out


def _told(z: Tensor, allowed: Tensor, log: SortLog) -> dict[str, Tensor]:
    """What is logged: of the first view as the anchor, since it is much the same for each."""
    rows = unit(z)
    between = rows[:, 0] @ rows[:, 0].T
    return {
        "similarity_positive": (rows[:, :1] * rows[:, 1:]).sum(dim=2).mean(),
        "similarity_negative": torch.where(allowed, between, 0.0).sum() / allowed.sum().clamp(min=1),
        "ordered": log.ordered.float(),
        "dropped_without_negative": log.dropped.float(),
        "embedding_std": spread(z.flatten(0, 1)),
    }
