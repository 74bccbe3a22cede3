"""SimSiam: a network predicts, from one view of a scan, what itself says of another view, taken without gradient.

Chen and He, CVPR 2021, arXiv 2011.10566. No negatives and no teacher: stop-gradient, predictor and batch norm keep
vectors apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.prediction import crossed, doubts, faster, taught
from medssl.methods.roles import two_views
from medssl.objectives.alignment import cosine_loss
from medssl.objectives.cosine import spread
from medssl.views.view import Batch, Role


class SimSiam(Method):
    """−cos of prediction and target, the mean of both directions, in [−1, 1].

    Args:
        encoder: whose pooled vector is projected.
        overlap: how much the two crops of a scan overlap along each axis, at least; with 0 they may only touch.
        hidden: width between the projector's three layers.
        outputs: length of the vectors that are compared.
        bottleneck: width between the predictor's two layers; the paper's is a quarter of ``outputs``.
        norm: of projector and predictor. ``batch`` is the paper's, which found that without it nothing is learned.
        predictor_rate: how many times as fast as the encoder the predictor learns.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 2048,
        bottleneck: Annotated[int, Field(ge=1)] = 512,
        norm: Literal["batch", "layer", "none"] = "batch",
        predictor_rate: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, layers=3, norm=norm, last_norm=True)
        self.predictor = Projector(outputs, bottleneck, outputs, norm=norm)
        self.overlap = overlap
        self.predictor_rate = predictor_rate

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it."""
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view``, ``partner``: predictions; ``view_teacher``, ``partner_teacher``: projections, without gradient."""
        return taught(self.encoder, {"projector": self.projector, "predictor": self.predictor}, batch)

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over this process's scans."""
        prediction, target = crossed(vectors, batch)
        loss = cosine_loss(prediction, target, "simsiam")
        return loss, {"similarity_positive": -loss.detach(), "embedding_std": spread(target)}

    def param_groups(self) -> list[dict[str, Any]]:
        """Those of every method, the predictor's apart."""
        return faster(super().param_groups(), self.predictor, self.predictor_rate)

    def check(self, facts: Facts) -> list[str]:
        """Note what may collapse."""
        return doubts(self.projector, facts)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and predictor."""
        return {"encoder": self.encoder, "projector": self.projector, "predictor": self.predictor}
