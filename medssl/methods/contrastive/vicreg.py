"""VICReg: two views of a scan agree, every feature varies over the batch, and no two features say the same.

Bardes, Ponce and LeCun, ICLR 2022, arXiv 2105.04906.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.contrastive.samples import pairs_of_all
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.cosine import spread
from medssl.objectives.vicreg import Variance, vicreg
from medssl.views.view import Batch, Role

Weight = Annotated[float, Field(ge=0)]


class VICReg(Method):
    """Invariance, variance and covariance over the vectors of all processes.

    Args:
        encoder: whose pooled vector is expanded.
        overlap: how much the two crops of a scan overlap along each axis, at least; with 0 they may only touch.
        invariance: weight of the squared difference of the two views.
        variance: weight of the hinge that keeps every feature's deviation at 1.
        covariance: weight of the squared covariances of different features.
        width: of the expander's three layers.
        norm: the expander's norm. ``batch`` is the paper's; ``layer`` depends on no other row.
        form: the variance term, ``released`` as in the authors' code (mean of both views) or ``paper`` (sum).
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        invariance: Weight = 25.0,
        variance: Weight = 25.0,
        covariance: Weight = 1.0,
        width: Annotated[int, Field(ge=1)] = 2048,
        norm: Literal["batch", "layer", "none"] = "batch",
        form: Variance = "released",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, width, width, layers=3, norm=norm)
        self.overlap = overlap
        self.weights = invariance, variance, covariance
        self.form: Variance = form

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it."""
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view`` and ``partner``: a vector for every crop, of any length."""
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The three terms over the scans of all processes.

        Raises:
            EmptyBatchError: there are fewer than two scans.
        """
        one, two = pairs_of_all(vectors, batch, ctx)
        parts = vicreg(one, two, self.form)
        return parts.total(*self.weights), {
            "loss_invariance": parts.invariance.detach(),
            "loss_variance": parts.variance.detach(),
            "loss_covariance": parts.covariance.detach(),
            "embedding_std": spread(one.detach()),
        }

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and expander."""
        return {"encoder": self.encoder, "projector": self.projector}
