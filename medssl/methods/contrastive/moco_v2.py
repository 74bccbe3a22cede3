"""MoCo v2: a query resembles the momentum teacher's key of its own scan more than the keys of earlier steps.

He et al., CVPR 2020, arXiv 1911.05722; Chen et al., 2020, arXiv 2003.04297.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import ProjectorNorm
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.queued import QueuedKeys
from medssl.methods.roles import two_views
from medssl.views.view import Batch, Role


class MoCoV2(Method):
    """InfoNCE against a queue of the teacher's keys.

    Args:
        encoder: the student, whose pooled vector is projected; the teacher is a copy that follows it.
        overlap: how much query and key overlap along each axis, at least; with 0 they may only touch.
        temperature: what similarities are divided by.
        outputs: length of the vectors that are compared.
        norm: the projector's norm. ``none`` is the paper's; ``batch`` keeps vectors apart where pooled vectors are
            nearly parallel, as in short runs from random weights; ``layer`` depends on no other row.
        queue: keys of earlier steps that are kept; at most 16 a scan.
        momentum: of the teacher, constant.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        temperature: Annotated[float, Field(gt=0)] = 0.2,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: ProjectorNorm = "none",
        queue: Annotated[int, Field(ge=1)] = 4096,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.999,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.keys = QueuedKeys(encoder, outputs, norm, queue, momentum)
        self.overlap = overlap
        self.temperature = temperature

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """The query, a crop of each scan, and its key, a second one around it."""
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view``, the queries, and ``partner_teacher``, their keys."""
        return self.keys.encode(self.encoder, batch)

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast of the queries of all processes.

        Raises:
            EmptyBatchError: no query has a negative.
        """
        found = self.keys.look_up(vectors, batch, ctx)
        loss, log = found.contrast(self.temperature)
        return loss, found.told(log, self.temperature)

    def after_step(self, ctx: Context) -> None:
        """The teacher follows, and the keys go into the queue."""
        self.keys.move(self.encoder, ctx)

    def check(self, facts: Facts) -> list[str]:
        """Refuse a queue that is far larger than the data."""
        return self.keys.check(facts, self.encoder, fills=False)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and the teacher of both."""
        return self.keys.exported(self.encoder)
