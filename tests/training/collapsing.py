"""A method that collapses: views of a scan attract each other, nothing repels and nothing is held still."""

# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR, two_views
from medssl.objectives.cosine import cosine
from medssl.views.view import Batch, Role


class Collapsing(Method):
    """Cosine alignment without a predictor, a teacher or a stopped gradient.

    Args:
        encoder: whose pooled vector is projected.
        outputs: length of the vectors.
        norm: of the projector.
    """

    def __init__(
        self, encoder: Encoder, *, outputs: int = 8, norm: Literal["batch", "layer", "none"] = "layer"
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, 32, outputs, norm=norm)

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        return two_views(settings, 0.5)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        return through(self.projector, pooled(self.encoder, batch, PAIR))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        alike = cosine(vectors["view"], vectors["partner"]).diagonal().mean()
        return 1 - alike, {"similarity_positive": alike.detach()}

    def exported(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "projector": self.projector}
