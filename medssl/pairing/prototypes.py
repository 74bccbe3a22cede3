"""Prototypes: learned unit vectors that vectors are compared with (SwAV, arXiv 2006.09882; DINO, 2104.14294)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from medssl.encoders.settings import one_of, positive
from medssl.objectives.cosine import unit

Unit = Literal["forward", "after_step"]


class Prototypes(nn.Module):
    """Cosines of vectors with K learned directions: a linear layer without bias whose rows have length one.

    Two papers, two ways: DINO divides by the length in the forward pass (a weight norm whose gain is fixed at 1), so
    that the gradient never points along a row; SwAV leaves the rows free in the forward pass and brings them back to
    length one after each step. Either way ``after_step`` is called once per optimiser step.

    Args:
        inputs: length of the vectors.
        count: K.
        unit: ``forward`` (DINO) or ``after_step`` (SwAV).
        freeze_steps: so many first steps leave the prototypes where they are; heads settle first. Published: the
            first epoch (DINO), 313 steps (SwAV).

    Raises:
        RecipeError: a setting is out of range.

    Example:
        >>> layer = Prototypes(2, 3)
        >>> layer(torch.tensor([[3.0, 4.0]])).abs().max() <= 1
        tensor(True)
    """

    def __init__(self, inputs: int, count: int, *, unit: Unit = "forward", freeze_steps: int = 0) -> None:
        super().__init__()
        positive("inputs", inputs)
        positive("count", count)
        one_of("unit", unit, ("forward", "after_step"))
        self.unit: Unit = unit
        self.freeze_steps = freeze_steps
        # directions are even over the sphere
        self.weight = nn.Parameter(nn.functional.normalize(torch.randn(count, inputs), dim=1))

    def forward(self, vectors: Tensor, step: int | None = None) -> Tensor:
        """Cosines ``(…, K)`` float32 of vectors ``(…, inputs)``.

        Args:
            vectors: brought to length one here.
            step: optimiser steps done, over all stages; in the first ``freeze_steps`` the prototypes' gradient is 0.
                None: never frozen (a teacher's).
        """
        weight: Tensor = self.weight
        if step is not None and step < self.freeze_steps:
            # a gradient of 0 and not none: processes wait for the gradient of every parameter
            weight = weight.detach() + 0 * (weight - weight.detach())
        with torch.autocast(vectors.device.type, enabled=False):
            rows = unit(weight) if self.unit == "forward" else weight.float()
            out: Tensor = unit(vectors) @ rows.T
        return out

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Bring rows back to length one: always SwAV's, and frozen ones, which weight decay would shrink.

        Args:
            step: optimiser steps done, the last one with them (as ``ctx.step`` is in ``Method.after_step``).
        """
        if self.unit == "after_step" or step <= self.freeze_steps:
            self.weight.copy_(nn.functional.normalize(self.weight, dim=1))
