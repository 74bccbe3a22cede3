"""DINO: every view of a scan predicts how a momentum teacher assigns the large views to prototypes.

Caron et al., ICCV 2021, arXiv 2104.14294. With ``targets="sinkhorn"`` in the way of DINOv2 (arXiv 2304.07193).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.prototype_head import PrototypeHead
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.multi_crop import CROPS, Crops, by_sample, multi_crop, present
from medssl.methods.contrastive.self_distillation import HEAD, ITERATIONS, STUDENT, WARMUP, Head, Warmup, assigned
from medssl.methods.passes import parted, pooled, through
from medssl.methods.roles import PAIR
from medssl.objectives.across_views import across_views
from medssl.objectives.centring import centred, moved
from medssl.objectives.cosine import spread
from medssl.objectives.sinkhorn import sinkhorn
from medssl.pairing.momentum import MomentumTeacher
from medssl.views.view import Batch, Role


class DINO(Method):
    """Cross entropy between the student's views and the teacher's two large ones, never of a view with itself.

    Args:
        encoder: the student, by its pooled vector; the teacher is a copy that follows it.
        crops: how many small views there are, and where views lie.
        head: prototypes, lengths of the head, and how long prototypes stay frozen.
        targets: ``centre`` takes away what the teacher's scores have in common (DINO), ``sinkhorn`` makes the batch
            use all prototypes alike (DINOv2).
        temperature: of the teacher.
        centre_momentum: share of the centre that a step keeps.
        momentum: of the teacher at the start; a cosine leads to 1 at the end.
    """

    centre: Tensor

    def __init__(
        self,
        encoder: Encoder,
        *,
        crops: Crops = CROPS,
        head: Head = HEAD,
        targets: Literal["centre", "sinkhorn"] = "centre",
        temperature: Warmup = WARMUP,
        centre_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.996,
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head.build(encoder.width)
        self.teacher = MomentumTeacher(self._students, momentum, "cosine")
        self.register_buffer("centre", torch.zeros(head.prototypes))
        self._next_centre: Tensor | None = None
        self.crops, self.lengths, self.targets = crops, head, targets
        self.temperature, self.centre_momentum = temperature, centre_momentum

    @property
    def _students(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "head": self.head}

    @property
    def _teachers(self) -> tuple[Encoder, PrototypeHead]:
        return cast(Encoder, self.teacher["encoder"]), cast(PrototypeHead, self.teacher["head"])

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """Two large views and the small ones."""
        return multi_crop(settings, self.crops, self.encoder)

    def check(self, facts: Facts) -> list[str]:
        """Refuse to spread a single scan's views over the prototypes.

        Raises:
            RecipeError: Sinkhorn with a batch of one.
        """
        if self.targets == "sinkhorn" and facts.batch < 2:
            reason = f"targets by Sinkhorn need a batch of 2 or more over all processes, got {facts.batch}"
            raise RecipeError(reason, path="method.targets", hint="raise optim.batch, or use centre")
        return self.lengths.notes(facts)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """Vectors before the prototypes: the student's of each role, and ``<role>_teacher`` of the large views."""
        self.teacher.follow(self._students)
        vectors = through(self.head.projector, pooled(self.encoder, batch, present(batch)))
        encoder, head = self._teachers
        with torch.no_grad():
            targets = through(head.projector, pooled(encoder, batch, PAIR))
        return {**vectors, **{f"{role}_teacher": rows for role, rows in targets.items()}}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean cross entropy over all pairs of a teacher's view and another view of the student."""
        with torch.no_grad():
            taught = torch.cat([self._teachers[1].prototypes(vectors[f"{role}_teacher"]) for role in PAIR])
            targets = self._targets(taught, ctx)
        of_roles = parted(targets, batch, PAIR)
        large = [by_sample(rows, batch[role].owner, batch.size)[0] for role, rows in of_roles.items()]
        scores = through(lambda rows: self.head.prototypes(rows, ctx.step), {r: vectors[r] for r in present(batch)})
        views = [one for role, rows in scores.items() for one in by_sample(rows, batch[role].owner, batch.size)]
        loss = across_views(views, large, STUDENT)
        return loss, {**assigned(targets), "embedding_std": spread(vectors["view"].detach())}

    def _targets(self, scores: Tensor, ctx: Context) -> Tensor:
        temperature = self.temperature.at(ctx.progress)
        if self.targets == "sinkhorn":
            return sinkhorn(scores, temperature, ITERATIONS, ctx.gather)
        # kept after the step, and only if it is made
        self._next_centre = moved(self.centre, scores, self.centre_momentum, ctx.gather)
        return centred(scores, self.centre, temperature)

    def embedded(self, vectors: Vectors, batch: Batch) -> dict[str, Tensor]:
        """The large views: small ones differ from them by their size more than scans do."""
        return {role: vectors[role] for role in PAIR}

    def after_step(self, ctx: Context) -> None:
        """Prototypes keep their length, the centre moves, the teacher follows."""
        self.head.prototypes.after_step(ctx.step)
        if self._next_centre is not None:
            self.centre.copy_(self._next_centre)
            self._next_centre = None
        self.teacher.move(self._students, ctx.progress)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, head and the teacher of both."""
        return {**self._students, "teacher": self.teacher}
