"""FT: MoCo v2 with positives pulled apart and negatives mixed two by two, and the distributions of both scores.

Zhu et al., *Improving Contrastive Learning by Visualizing Feature Transformation*, ICCV 2021, arXiv 2108.02982.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import ProjectorNorm
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.queued import Lookup, QueuedKeys
from medssl.methods.roles import two_views
from medssl.objectives.contrast_bank import Own, contrast_bank
from medssl.objectives.contrast_rows import log_sum
from medssl.pairing.chance import common_generator
from medssl.pairing.extrapolation import Grain, extrapolated_positives, interpolated_negatives
from medssl.views.view import Batch, Role


@dataclass(frozen=True)
class Transform:
    """How vectors are transformed before they are compared.

    Args:
        positive: the pair is pulled apart by a share of 1 + Beta(this, this); null leaves it.
        negative: rows of the queue are mixed by a share of Beta(this, this); null leaves them.
        grain: one share for all of a step (``batch``, as published), for each vector (``row``) or for each of its
            dimensions.
        normalize: bring what comes out to length one. As published it is not, and a positive's similarity may fall
            to -4.
        wait: share of the run before anything is transformed; for negatives a full queue is waited for, too.
    """

    positive: Annotated[float, Field(gt=0)] | None = 2.0
    negative: Annotated[float, Field(gt=0)] | None = 1.6
    grain: Grain = "batch"
    normalize: bool = False
    wait: Annotated[float, Field(ge=0, lt=1)] = 0.0


class FT(Method):
    """InfoNCE of extrapolated pairs against an interpolated queue, by plain products.

    Args:
        encoder: the student, whose pooled vector is projected; the teacher is a copy that follows it.
        overlap: how much query and key overlap along each axis, at least; with 0 they may only touch.
        temperature: what similarities are divided by.
        outputs: length of the vectors that are compared.
        norm: the projector's norm. ``none`` is the paper's; ``batch`` keeps vectors apart where pooled vectors are
            nearly parallel, as in short runs from random weights; ``layer`` depends on no other row.
        queue: keys of earlier steps that are kept; at most 16 a scan.
        momentum: of the teacher, constant.
        transform: how vectors are transformed.
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
        transform: Transform = Transform(),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.keys = QueuedKeys(encoder, outputs, norm, queue, momentum)
        self.overlap = overlap
        self.temperature = temperature
        self.transform = transform

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
        one, two, bank, negatives = self._transformed(found, ctx)
        positive = (one * two).sum(dim=1, keepdim=True)
        yes = torch.ones_like(positive, dtype=torch.bool)
        loss, log = contrast_bank(
            one,
            bank,
            temperature=self.temperature,
            pairs=lambda rows: (None, negatives[rows]),
            own=Own(positive, yes, ~yes),
        )
        return loss, {
            **found.told(log, self.temperature),
            "similarity_untransformed": (found.query * found.key).sum(dim=1).mean().detach(),
            **scores("positive", positive, yes, self.temperature),
            **scores("negative", one.detach() @ bank.T, negatives, self.temperature),
        }

    def after_step(self, ctx: Context) -> None:
        """The teacher follows, and the keys go into the queue."""
        self.keys.move(self.encoder, ctx)

    def check(self, facts: Facts) -> list[str]:
        """Refuse a queue that is far larger than the data, or never full."""
        return self.keys.check(facts, self.encoder, fills=self.transform.negative is not None)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, projector and the teacher of both."""
        return self.keys.exported(self.encoder)

    def _transformed(self, found: Lookup, ctx: Context) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both of each pair, the bank, and who of it is a negative of whom."""
        one, two, bank, negatives = found.query, found.key, found.bank, found.negatives()
        how = self.transform
        if ctx.progress < how.wait:
            return one, two, bank, negatives
        chance = common_generator(ctx.generator, ctx.gather, one)
        if how.positive is not None:
            one, two = extrapolated_positives(
                one, two, chance, alpha=how.positive, grain=how.grain, normalize=how.normalize
            )
        if how.negative is not None and found.full:
            mixed = interpolated_negatives(bank, chance, alpha=how.negative, grain=how.grain, normalize=how.normalize)
            bank, negatives = mixed.vectors, mixed.negative(negatives)
        return one, two, bank, negatives


@torch.no_grad()
def scores(name: str, products: Tensor, chosen: Tensor, temperature: float) -> dict[str, Tensor]:
    """The paper's diagnostic: mean and variance of the scores s of some pairs, and the mean of e^(s/τ), as logarithm.

    Args:
        name: of the pairs.
        products: ``(n, M)`` s.
        chosen: ``(n, M)`` bool, at least one.
        temperature: τ.

    Example:
        >>> found = scores("negative", torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([[True, True, False]]), 1.0)
        >>> [round(float(value), 4) for value in found.values()]
        [2.0, 1.0, 2.4338]
    """
    count = chosen.sum().clamp(min=1)
    mean = torch.where(chosen, products, 0.0).sum() / count
    variance = torch.where(chosen, (products - mean).square(), 0.0).sum() / count
    exponential = log_sum((products / temperature).reshape(1, -1), chosen.reshape(1, -1))[0] - count.log()
    return {
        f"score_{name}_mean": mean,
        f"score_{name}_variance": variance,
        f"score_{name}_log_exp": exponential,
    }
