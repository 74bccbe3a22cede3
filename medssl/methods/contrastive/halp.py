"""HaLP: MoCo v2 with positives made up on the sphere, between a key and prototypes of the queue.

Shah et al., *HaLP: Hallucinating Latent Positives for Skeleton-Based Self-Supervised Learning*, CVPR 2023,
arXiv 2304.00387.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.projector import ProjectorNorm
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.queued import QueuedKeys, check_taken
from medssl.methods.roles import two_views
from medssl.pairing.chance import common_generator
from medssl.pairing.hallucination import Hallucinated, hallucinated_positives
from medssl.pairing.k_means import k_means
from medssl.views.view import Batch, Role


@dataclass(frozen=True)
class Hallucination:
    """How positives are made up, and how they weigh.

    Args:
        prototypes: k, clusters of the queue's last rows.
        recent: how many last rows of the queue are clustered, or all there are.
        every: steps from one clustering to the next.
        count: positives made up for each query.
        ease: λ; 0 goes as far as the prototypes allow, 1 anywhere up to there.
        weight: μ of their pull, which is linear and never rests; keep it small.
        wait: share of the run before anything is made up; a full queue is waited for, too.
    """

    prototypes: Annotated[int, Field(ge=2)] = 20
    recent: Annotated[int, Field(ge=2)] = 256
    every: Annotated[int, Field(ge=1)] = 5
    count: Annotated[int, Field(ge=1)] = 100
    ease: Annotated[float, Field(ge=0, le=1)] = 0.8
    weight: Annotated[float, Field(ge=0)] = 1.0
    wait: Annotated[float, Field(ge=0, lt=1)] = 0.0


class HaLP(Method):
    """InfoNCE against a queue, and a pull towards made-up positives that keep the key's nearest prototype.

    Args:
        encoder: the student, whose pooled vector is projected; the teacher is a copy that follows it.
        overlap: how much query and key overlap along each axis, at least; with 0 they may only touch.
        temperature: what similarities are divided by.
        outputs: length of the vectors that are compared.
        norm: the projector's norm. ``none`` is the paper's; ``batch`` keeps vectors apart where pooled vectors are
            nearly parallel, as in short runs from random weights; ``layer`` depends on no other row.
        queue: keys of earlier steps that are kept; at most 16 a scan.
        momentum: of the teacher, constant.
        hallucination: how positives are made up.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        overlap: Annotated[float, Field(ge=0, le=1)] = 0.5,
        temperature: Annotated[float, Field(gt=0)] = 0.07,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: ProjectorNorm = "none",
        queue: Annotated[int, Field(ge=1)] = 4096,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.999,
        hallucination: Hallucination = Hallucination(),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.keys = QueuedKeys(encoder, outputs, norm, queue, momentum)
        self.overlap = overlap
        self.temperature = temperature
        self.hallucination = hallucination
        self.prototypes = QueuePrototypes(hallucination.prototypes, outputs)

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """The query, a crop of each scan, and its key, a second one around it."""
        return two_views(settings, self.overlap)

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view``, the queries, and ``partner_teacher``, their keys."""
        return self.keys.encode(self.encoder, batch)

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast of the queries of all processes, and the pull of what was made up for them.

        Raises:
            EmptyBatchError: no query has a negative.
        """
        found = self.keys.look_up(vectors, batch, ctx)
        loss, log = found.contrast(self.temperature)
        logs = {**found.told(log, self.temperature), "loss_contrast": loss.detach()}
        if not self.prototypes.made:
            zero = torch.zeros_like(loss.detach())
            return loss, {**logs, "similarity_hallucinated": zero, "good_share": zero}
        chance = common_generator(ctx.generator, ctx.gather, found.query)
        how = self.hallucination
        made = hallucinated_positives(
            found.key, self.prototypes.centres, chance, count=how.count, among=how.prototypes, ease=how.ease
        )
        similarity = good_similarity(found.query, made)
        logs |= {"similarity_hallucinated": similarity.detach(), "good_share": made.good.float().mean()}
        return loss - how.weight * similarity / self.temperature, logs

    def after_step(self, ctx: Context) -> None:
        """The teacher follows, the keys go into the queue, and every few steps it is clustered anew."""
        self.keys.move(self.encoder, ctx)
        how, queue = self.hallucination, self.keys.queue
        due = not self.prototypes.made or ctx.step % how.every == 0
        if queue.full and ctx.progress >= how.wait and due:
            recent = queue.recent(how.recent).float()
            self.prototypes.make(recent, common_generator(ctx.generator, ctx.gather, recent))

    def check(self, facts: Facts) -> list[str]:
        """Refuse a queue that is far larger than the data, never full, or smaller than what is made of it."""
        how, size = self.hallucination, self.keys.queue.size
        notes = self.keys.check(facts, self.encoder, fills=True)
        if how.prototypes > how.recent:
            reason = f"expected at most hallucination.recent ({how.recent}), got {how.prototypes}"
            raise RecipeError(reason, path="hallucination.prototypes")
        return [*notes, *check_taken("hallucination.prototypes", how.prototypes, size)]

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and the teacher of both."""
        return self.keys.exported(self.encoder)


class QueuePrototypes(nn.Module):
    """Spherical k-means of a queue's last rows; part of the state.

    Args:
        count: k.
        width: length of the vectors.
    """

    centres: Tensor
    times: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(count, width))
        self.register_buffer("times", torch.zeros((), dtype=torch.int64))
        self._made: bool | None = None

    @property
    def made(self) -> bool:
        """Whether there are any."""
        # the buffer is looked at once after a load, and not at every step, since that would wait for the device
        if self._made is None:
            self._made = int(self.times) > 0
        return self._made

    def make(self, rows: Tensor, generator: torch.Generator) -> None:
        """Cluster ``(n, width)`` anew."""
        self.centres.copy_(k_means(rows, len(self.centres), generator, tolerance=1e-3).centres)
        self.times += 1
        self._made = True

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._made = None
        super()._load_from_state_dict(*args, **kwargs)


def good_similarity(query: Tensor, made: Hallucinated) -> Tensor:
    """Mean q·g over the good positives of all queries; 0 without any.

    Args:
        query: ``(n, d)`` of length one, with gradient.
        made: for each query.

    Example:
        >>> g = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> made = Hallucinated(g, torch.tensor([[True, False]]), torch.zeros(1, 2), torch.zeros(1))
        >>> float(good_similarity(torch.tensor([[0.5, 0.5]]), made))
        0.5
    """
    products = (query[:, None] * made.vectors).sum(dim=-1)
    return torch.where(made.good, products, 0.0).sum() / made.good.sum().clamp(min=1)
