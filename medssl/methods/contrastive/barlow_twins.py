"""Barlow Twins: over the batch, each feature of one view goes with itself in the other view, and with no other.

Zbontar et al., ICML 2021, arXiv 2103.03230.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.samples import pairs_of_all
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.alignment import cosine_rows
from medssl.objectives.barlow_twins import barlow_twins
from medssl.objectives.cosine import spread
from medssl.views.view import Batch, Role

BALANCE = 40.0
"""λ times the number of features: 5e-3 belongs to 8,192 of them."""


class BarlowTwins(Method):
    """Σᵢ (1 − Cᵢᵢ)² + λ Σᵢ≠ⱼ Cᵢⱼ², with C the correlation of both views' features over the scans of all processes.

    Args:
        encoder: whose pooled vector is projected.
        overlap: how much the two crops of a scan overlap along each axis, at least; with 0 they may only touch.
        redundancy: λ; null takes 40 / ``width``, which suits batches of hundreds of scans; take less for small ones.
        width: of the projector's three layers.
        norm: the projector's norm. ``batch`` is the paper's; ``layer`` depends on no other row.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        redundancy: Annotated[float, Field(ge=0)] | None = None,
        width: Annotated[int, Field(ge=1)] = 2048,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, width, width, layers=3, norm=norm)
        self.overlap = overlap
        self.redundancy = BALANCE / width if redundancy is None else redundancy

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it."""
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner``: a vector for every crop, of any length."""
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The two terms over the scans of all processes.

        Raises:
            EmptyBatchError: there are fewer than two scans.
        """
        one, two = pairs_of_all(vectors, batch, ctx)
        parts = barlow_twins(one, two)
        with torch.no_grad():
            logs = {"similarity_positive": cosine_rows(one, two).mean(), "embedding_std": spread(one)}
        logs |= {"loss_diagonal": parts.diagonal.detach(), "loss_redundancy": parts.redundancy.detach()}
        return parts.total(self.redundancy), logs

    def check(self, facts: Facts) -> list[str]:
        """Note a λ with which the correlations that few scans have by chance, λ d² / N, outweigh the d features."""
        share = self.redundancy * self.projector.outputs / facts.batch
        if share <= 1:
            return []
        return [
            f"with {facts.batch} scans a batch chance alone makes the redundancy {share:.2g} times as heavy as the"
            f" agreement: lower method.redundancy, {self.redundancy / share / 5:.1g} or less, or raise optim.batch"
        ]

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and projector."""
        return {"encoder": self.encoder, "projector": self.projector}
