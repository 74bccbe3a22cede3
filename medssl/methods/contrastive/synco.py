"""SynCo: MoCo v2 with six kinds of negatives made up for each query of the hardest ones in the queue.

Giakoumoglou and Stathaki, *SynCo: Synthetic Hard Negatives in Contrastive Learning*, arXiv 2410.02401.
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
from medssl.pairing.hard_mixing import MadeUp, hardest
from medssl.pairing.synco import STEPS, Counts, Steps, synthetic_negatives
from medssl.views.view import Batch, Role

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Stretch = Annotated[float, Field(ge=1)]
Reach = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Synthesis:
    """How many negatives are made up for a query, of which, how far off, and from when on.

    Args:
        hardest: those of the queue that they are made of; a few hundredths of it.
        counts: of each kind: interpolated, extrapolated, mixed, noisy, along the gradient, along its signs.
        reach: largest share of the query in an interpolated one, largest b of an extrapolated one, and the lengths of
            the steps of the last three kinds.
        wait: share of the run before anything is made up; a full queue is waited for, too.
    """

    hardest: Annotated[int, Field(ge=2)] = 128
    counts: tuple[Count, Count, Count, Count, Count, Count] = (32, 32, 32, 8, 8, 8)
    reach: tuple[Share, Stretch, Reach, Reach, Reach] = STEPS
    wait: Annotated[float, Field(ge=0, lt=1)] = 0.05


class SynCo(Method):
    """InfoNCE against a queue and against what is made up of its hardest rows.

    Args:
        encoder: the student, whose pooled vector is projected; the teacher is a copy that follows it.
        overlap: how much query and key overlap along each axis, at least; with 0 they may only touch.
        temperature: what similarities are divided by.
        outputs: length of the vectors that are compared.
        norm: the projector's norm. ``none`` is the paper's; ``batch`` keeps vectors apart where pooled vectors are
            nearly parallel, as in short runs from random weights; ``layer`` depends on no other row.
        queue: keys of earlier steps that are kept; at most 16 a scan.
        momentum: of the teacher, constant.
        synthesis: what is made up.
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
        synthesis: Synthesis = Synthesis(),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.keys = QueuedKeys(encoder, outputs, norm, queue, momentum)
        self.overlap = overlap
        self.temperature = temperature
        self.synthesis = synthesis

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
        made = self._made_up(found, ctx) if found.full and ctx.progress >= self.synthesis.wait else None
        loss, log = found.contrast(self.temperature, made)
        return loss, {**found.told(log, self.temperature), **found.similarity_made_up(made)}

    def after_step(self, ctx: Context) -> None:
        """The teacher follows, and the keys go into the queue."""
        self.keys.move(self.encoder, ctx)

    def check(self, facts: Facts) -> list[str]:
        """Refuse a queue that is far larger than the data, never full, or smaller than what is taken of it."""
        notes = self.keys.check(facts, self.encoder, fills=True)
        return [*notes, *check_taken("synthesis.hardest", self.synthesis.hardest, self.keys.queue.size)]

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and the teacher of both."""
        return self.keys.exported(self.encoder)

    def _made_up(self, found: Lookup, ctx: Context) -> MadeUp:
        among = hardest(found.query, found.bank, found.negatives(), self.synthesis.hardest)
        chance = common_generator(ctx.generator, ctx.gather, found.query)
        counts, reach = Counts(*self.synthesis.counts), Steps(*self.synthesis.reach)
        return synthetic_negatives(found.query, found.bank, among, chance, counts, reach)
