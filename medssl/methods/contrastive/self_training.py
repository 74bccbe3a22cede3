"""Clusters that sharpen themselves: DEC's term (arXiv 1511.06335) as SCGC (arXiv 2204.12656) adds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.methods.contract import Context
from medssl.objectives.cosine import unit
from medssl.pairing.communities import sharpened, student_t


@dataclass(frozen=True)
class SelfTraining:
    """What a recipe says of them.

    Args:
        count: of clusters.
        weight: β of KL(P‖Q).
        start: share of the run after which k-means of all scans' crops starts the centres, and the term begins.
    """

    count: Annotated[int, Field(ge=2)] = 8
    weight: Annotated[float, Field(gt=0)] = 0.1
    start: Annotated[float, Field(ge=0, lt=1)] = 0.5


class Clusters(nn.Module):
    """Learned centres; before a survey has started them there is nothing to say.

    Args:
        inputs: length of the vectors.
        count: of clusters.
    """

    started: Tensor

    def __init__(self, inputs: int, count: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(unit(torch.randn(count, inputs)))
        # a run that goes on must not begin with the survey's centres again
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def start(self, ctx: Context, stage: str) -> bool:
        """Take the centres of the stage's survey over, once; whether there are any."""
        if not bool(self.started) and ctx.stage == stage and stage in ctx.surveys:
            self.centres.copy_(ctx.surveys[stage]["centres"])
            self.started.fill_(True)
        return bool(self.started)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """KL(P‖Q), the mean over vectors of length one, and how many clusters are in use.

        The number in use is the exponential of the entropy of their shares of the vectors.

        Args:
            vectors: ``(n, d)`` of all processes.
        """
        assigned = student_t(unit(vectors), self.centres)
        target = sharpened(assigned)
        divergence = (target * (target.log() - assigned.log())).sum(dim=1).mean()
        return divergence, in_use(assigned)


@torch.no_grad()
def in_use(assigned: Tensor) -> Tensor:
    """How many columns are in use: the exponential of the entropy of the shares of rows that each is the largest of.

    Args:
        assigned: ``(n, K)``.

    Example:
        >>> round(float(in_use(torch.eye(4)[[0, 0, 1, 1]])), 4)
        2.0
    """
    share = nn.functional.one_hot(assigned.argmax(dim=1), assigned.shape[1]).to(torch.float32).mean(dim=0)
    out: Tensor = torch.special.entr(share).sum().exp()
    return out
