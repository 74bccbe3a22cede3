"""SwAV: every view of a scan predicts the code of its other large views, an even assignment to learned prototypes.

Caron et al., NeurIPS 2020, arXiv 2006.09882.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.projector import Projector, ProjectorNorm
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.multi_crop import CROPS, Crops, by_sample, multi_crop, present
from medssl.methods.contrastive.rows import members
from medssl.methods.contrastive.self_distillation import ITERATIONS, assigned
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR
from medssl.objectives.across_views import across_views
from medssl.objectives.cosine import spread
from medssl.objectives.swav import codes
from medssl.pairing.prototypes import Prototypes
from medssl.pairing.queue import Queue
from medssl.views.view import Batch, Role

TEMPERATURE = 0.1
EPSILON = 0.05


class SwAV(Method):
    """Cross entropy of softmax(z c / 0.1) with the codes of the other large views.

    Args:
        encoder: whose pooled vector is projected.
        crops: how many small views there are, and where views lie.
        prototypes: K; the rows of a batch, with the queue, are no fewer.
        hidden: width between the projector's two layers.
        outputs: length of the vectors that are compared with the prototypes.
        norm: the projector's norm; ``layer`` depends on no other row.
        queue: vectors of earlier batches that help to balance the codes of each large view, over all processes; used
            once there are as many. 0 for none.
        freeze_steps: first steps in which the prototypes stay where they are.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        crops: Crops = CROPS,
        prototypes: Annotated[int, Field(ge=2)] = 300,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: ProjectorNorm = "batch",
        queue: Annotated[int, Field(ge=0)] = 0,
        freeze_steps: Annotated[int, Field(ge=0)] = 313,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, norm=norm)
        self.prototypes = Prototypes(outputs, prototypes, unit="after_step", freeze_steps=freeze_steps)
        self.queues = nn.ModuleDict({role: Queue(queue, outputs) for role in PAIR} if queue else {})
        self.crops, self.count, self.queued = crops, prototypes, queue

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """Two large views and the small ones."""
        return multi_crop(settings, self.crops, self.encoder)

    def check(self, facts: Facts) -> list[str]:
        """Refuse more prototypes than there are rows to share out among them.

        Raises:
            RecipeError: a batch and the queue have fewer rows than there are prototypes.
        """
        rows = facts.batch + self.queued
        if rows < self.count:
            raise RecipeError(
                f"{self.count} prototypes need as many rows, got {rows}: a batch of {facts.batch} over all processes"
                f" and a queue of {self.queued}",
                path="method.prototypes",
                hint=f"use {rows} or fewer, or a method.queue of {self.count - facts.batch} or more",
            )
        notes = []
        if self.queued > facts.scans:
            notes.append(f"the queue of {self.queued} holds more vectors than there are scans ({facts.scans})")
        if self.queued and -(-self.queued // facts.batch) >= facts.steps:
            notes.append(f"the queue of {self.queued} is never full in {facts.steps} steps, and so never used")
        if 2 * self.prototypes.freeze_steps >= facts.steps:
            frozen = min(self.prototypes.freeze_steps, facts.steps)
            notes.append(f"prototypes stay where they are in {frozen} of {facts.steps} steps (method.freeze_steps)")
        return notes

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """A vector for every view of every role."""
        return through(self.projector, pooled(self.encoder, batch, present(batch)))

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean cross entropy over all pairs of a code and another view."""
        scores = through(lambda rows: self.prototypes(rows, ctx.step), {role: vectors[role] for role in present(batch)})
        found = {role: self._codes(scores[role], role, vectors[role], batch, ctx) for role in PAIR}
        targets = [by_sample(found[role], batch[role].owner, batch.size)[0] for role in PAIR]
        views = [one for role, rows in scores.items() for one in by_sample(rows, batch[role].owner, batch.size)]
        loss = across_views(views, targets, TEMPERATURE)
        return loss, {**assigned(torch.cat(targets)), "embedding_std": spread(vectors["view"].detach())}

    @torch.no_grad()
    def _codes(self, scores: Tensor, role: str, vectors: Tensor, batch: Batch, ctx: Context) -> Tensor:
        queue = self._queue(role)
        if queue is None:
            return codes(scores, None, EPSILON, ITERATIONS, ctx.gather)
        queued = self.prototypes(queue.rows()) if queue.full else None
        queue.hold(ctx.gather(vectors.detach()), members(batch, ctx, (role,)))
        return codes(scores, queued, EPSILON, ITERATIONS, ctx.gather, shared=True)

    def _queue(self, role: str) -> Queue | None:
        found = self.queues[role] if self.queued else None
        return found if isinstance(found, Queue) else None

    def embedded(self, vectors: Vectors, batch: Batch) -> dict[str, Tensor]:
        """The large views: small ones differ from them by their size more than scans do."""
        return {role: vectors[role] for role in PAIR}

    def after_step(self, ctx: Context) -> None:
        """Prototypes go back to length one, and the vectors of this step into the queues."""
        self.prototypes.after_step(ctx.step)
        for role in PAIR:
            queue = self._queue(role)
            if queue is not None:
                queue.push()

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and prototypes."""
        return {"encoder": self.encoder, "projector": self.projector, "prototypes": self.prototypes}
