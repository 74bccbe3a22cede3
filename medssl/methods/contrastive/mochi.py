"""MoCHi: MoCo v2 with harder negatives, mixed for each query of the hardest ones in the queue.

Kalantidis et al., *Hard Negative Mixing for Contrastive Learning*, NeurIPS 2020, arXiv 2010.01028.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import ProjectorNorm
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.queued import Lookup, QueuedKeys, check_taken
from medssl.methods.roles import two_views
from medssl.pairing.chance import common_generator
from medssl.pairing.hard_mixing import MadeUp, hardest, mixed_negatives, mixed_with_query
from medssl.views.view import Batch, Role


@dataclass(frozen=True)
class Mixing:
    """How many negatives are mixed for a query, of which, and from when on.

    Args:
        hardest: N, those of the queue that are mixed; a few hundredths of it.
        of_two: s, mixtures of two of them.
        with_query: s', mixtures of one of them with the query.
        wait: share of the run before anything is mixed; a full queue is waited for, too.
    """

    hardest: Annotated[int, Field(ge=2)] = 128
    of_two: Annotated[int, Field(ge=0)] = 128
    with_query: Annotated[int, Field(ge=0)] = 16
    wait: Annotated[float, Field(ge=0, lt=1)] = 0.05


class MoCHi(Method):
    """InfoNCE against a queue and against mixtures of its hardest rows.

    Args:
        encoder: the student, whose pooled vector is projected; the teacher is a copy that follows it.
        overlap: how much query and key overlap along each axis, at least; with 0 they may only touch.
        temperature: what similarities are divided by.
        outputs: length of the vectors that are compared.
        norm: the projector's norm. ``none`` is the paper's; ``batch`` keeps vectors apart where pooled vectors are
            nearly parallel, as in short runs from random weights; ``layer`` depends on no other row.
        queue: keys of earlier steps that are kept; at most 16 a scan.
        momentum: of the teacher, constant.
        mixing: what is mixed.
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
        mixing: Mixing = Mixing(),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.keys = QueuedKeys(encoder, outputs, norm, queue, momentum)
        self.overlap = overlap
        self.temperature = temperature
        self.mixing = mixing

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
        made = self._mixed(found, ctx) if found.full and ctx.progress >= self.mixing.wait else None
        loss, log = found.contrast(self.temperature, made)
        return loss, {**found.told(log, self.temperature), **found.similarity_made_up(made)}

    def after_step(self, ctx: Context) -> None:
        """The teacher follows, and the keys go into the queue."""
        self.keys.move(self.encoder, ctx)

    def check(self, facts: Facts) -> list[str]:
        """Refuse a queue that is far larger than the data, never full, or smaller than what is mixed of it."""
        notes = self.keys.check(facts, self.encoder, fills=True)
        return [*notes, *check_taken("mixing.hardest", self.mixing.hardest, self.keys.queue.size)]

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and the teacher of both."""
        return self.keys.exported(self.encoder)

    def _mixed(self, found: Lookup, ctx: Context) -> MadeUp:
        among = hardest(found.query, found.bank, found.negatives(), self.mixing.hardest)
        chance = common_generator(ctx.generator, ctx.gather, found.query)
        mixed = mixed_negatives(found.bank, among, self.mixing.of_two, chance)
        with_query = mixed_with_query(found.query, found.bank, among, self.mixing.with_query, chance)
        return mixed.beside(with_query)
