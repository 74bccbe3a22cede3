"""BYOL: a network predicts, from one view of a scan, what a slowly following copy of it says of another view.

Grill et al., NeurIPS 2020, arXiv 2006.07733. No negatives: predictor, momentum and batch norm keep vectors apart.
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
from medssl.pairing.momentum import MomentumTeacher
from medssl.views.view import Batch, Role


class BYOL(Method):
    """2 − 2 cos of prediction and target, the sum of both directions, in [0, 8].

    Args:
        encoder: the student; the teacher is a copy of it and the projector that follows them.
        overlap: how much the two crops of a scan overlap along each axis, at least; with 0 they may only touch.
        momentum: of the teacher at the start; it grows to 1 over the run, as a cosine.
        hidden: width between the two layers of projector and predictor.
        outputs: length of the vectors that are compared.
        norm: of projector and predictor. ``batch`` is the paper's; ``layer`` depends on no other row.
        predictor_rate: how many times as fast as the encoder the predictor learns.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.996,
        hidden: Annotated[int, Field(ge=1)] = 4096,
        outputs: Annotated[int, Field(ge=1)] = 256,
        norm: Literal["batch", "layer", "none"] = "batch",
        predictor_rate: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, norm=norm)
        self.predictor = Projector(outputs, hidden, outputs, norm=norm)
        self.teacher = MomentumTeacher(self._students, momentum, "cosine")
        self.overlap = overlap
        self.predictor_rate = predictor_rate

    @property
    def _students(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "projector": self.projector}

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """A crop of each scan, and a second one around it."""
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view``, ``partner``: predictions; ``view_teacher``, ``partner_teacher``: the teacher's projections."""
        heads = {"projector": self.projector, "predictor": self.predictor}
        return taught(self.encoder, heads, batch, self.teacher)

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over this process's scans."""
        prediction, target = crossed(vectors, batch)
        # the mean runs over both directions, the paper adds them
        loss = 2 * cosine_loss(prediction, target)
        return loss, {"similarity_positive": 1 - loss.detach() / 4, "embedding_std": spread(target.detach())}

    def after_step(self, ctx: Context) -> None:
        """The teacher follows."""
        self.teacher.move(self._students, ctx.progress)

    def param_groups(self) -> list[dict[str, Any]]:
        """Those of every method, the predictor's apart."""
        return faster(super().param_groups(), self.predictor, self.predictor_rate)

    def check(self, facts: Facts) -> list[str]:
        """Note what may collapse, and a teacher that is still much of what it was at the start when the run ends."""
        notes, momentum = doubts(self.projector, facts), self.teacher.momentum
        if facts.steps * (1 - momentum) < 1:
            notes.append(
                f"the teacher hardly moves within {facts.steps} steps at momentum {momentum}: lower method.momentum"
            )
        return notes

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector, predictor and the teacher of the first two."""
        return {**self._students, "predictor": self.predictor, "teacher": self.teacher}
