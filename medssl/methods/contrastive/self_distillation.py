"""What methods share that learn from their own momentum teacher's assignments to prototypes: DINO and its kin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from medssl.heads.projector import ProjectorNorm
from medssl.heads.prototype_head import PrototypeHead
from medssl.methods.contract import Facts

STUDENT = 0.1
"""Temperature of the student (arXiv 2104.14294)."""

ITERATIONS = 3
"""Of Sinkhorn–Knopp (arXiv 2006.09882, 2304.07193)."""

MANY = 64
"""Prototypes a scan above which a run is told that fewer would do."""

Length = Annotated[int, Field(ge=1)]
Temperature = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Head:
    """The head of three layers with its prototypes (``head:`` of a method).

    Args:
        prototypes: K; 65,536 as published, a few hundred for a few hundred scans.
        hidden: length between its layers.
        bottleneck: length of the vectors that are compared with the prototypes.
        freeze_steps: first steps in which the prototypes stay where they are; published: those of the first epoch.
        norm: between its layers; ``none`` as published for transformers. ``batch`` keeps scans that look alike apart
            from the first step on.
    """

    prototypes: Length = 65536
    hidden: Length = 2048
    bottleneck: Length = 256
    freeze_steps: Annotated[int, Field(ge=0)] = 100
    norm: ProjectorNorm = "none"

    def build(self, inputs: int) -> PrototypeHead:
        """A fresh head for vectors of a length."""
        return PrototypeHead(
            inputs,
            self.prototypes,
            hidden=self.hidden,
            bottleneck=self.bottleneck,
            freeze_steps=self.freeze_steps,
            norm=self.norm,
        )

    def notes(self, facts: Facts) -> list[str]:
        """What is doubtful of these lengths in a run."""
        found = []
        if self.prototypes > MANY * facts.scans:
            found.append(
                f"{self.prototypes} prototypes for {facts.scans} scans: a few hundred (method.head.prototypes) are "
                "plenty and cheaper"
            )
        if 2 * self.freeze_steps >= facts.steps:
            found.append(
                f"prototypes stay where they are in {min(self.freeze_steps, facts.steps)} of {facts.steps} steps "
                "(method.head.freeze_steps)"
            )
        return found


@dataclass(frozen=True)
class Warmup:
    """The teacher's temperature: a line from ``start`` to ``end``, then ``end`` (``temperature:`` of a method).

    Args:
        start: at the first step.
        end: after the warm-up.
        share: of the run that the warm-up takes.
    """

    start: Temperature = 0.04
    end: Temperature = 0.07
    share: Annotated[float, Field(ge=0, le=1)] = 0.3

    def at(self, progress: float) -> float:
        """The temperature at a share of the run.

        Example:
            >>> [round(Warmup().at(progress), 3) for progress in (0.0, 0.15, 0.3, 1.0)]
            [0.04, 0.055, 0.07, 0.07]
        """
        if progress >= self.share:
            return self.end
        return self.start + (self.end - self.start) * progress / self.share


HEAD = Head()
WARMUP = Warmup()


@torch.no_grad()
def assigned(targets: Tensor) -> dict[str, Tensor]:
    """How targets use their K prototypes, as shares of log K.

    ``target_entropy`` is the mean entropy of a target: near 1, all of them are uniform and nothing is taught.
    ``usage_entropy`` is the entropy of the mean target: near 0, all of them are one prototype. Targets of n views on
    one prototype each reach log n / log K.

    Args:
        targets: ``(n, K)`` probabilities.

    Example:
        >>> {name: round(float(value), 3) for name, value in assigned(torch.eye(2)).items()}
        {'target_entropy': 0.0, 'usage_entropy': 1.0}
    """
    whole = max(math.log(targets.shape[1]), 1e-12)
    rows = targets.double()
    return {
        "target_entropy": (torch.special.entr(rows).sum(dim=1).mean() / whole).float(),
        "usage_entropy": (torch.special.entr(rows.mean(dim=0)).sum() / whole).float(),
    }
