"""The head of DINO and iBOT: a perceptron to a bottleneck, and its cosines with prototypes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from medssl.encoders.settings import positive
from medssl.heads.projector import Projector, ProjectorNorm
from medssl.pairing.prototypes import Prototypes


class PrototypeHead(nn.Module):
    """Three layers with GELU, a bottleneck of length one, and cosines with prototypes (DINO, arXiv 2104.14294).

    SwAV's (2006.09882) is ``PrototypeHead(inputs, 300, hidden=2048, bottleneck=128, layers=2, norm="batch",
    unit="after_step")`` with ReLU in the paper.

    Args:
        inputs: length of the vectors that come in: pooled ones, or tokens.
        prototypes: K, 65,536 in DINO and 3DINO; a few hundred to thousand are plenty for a small data set.
        hidden: length between layers.
        bottleneck: length of the vectors that are compared with the prototypes.
        layers: linear layers before the prototypes.
        norm: between layers; none in DINO.
        unit: how prototypes keep length one, see ``Prototypes``.
        freeze_steps: steps in which prototypes stay, see ``Prototypes``.

    Raises:
        RecipeError: a setting is out of range.

    Example:
        >>> import torch
        >>> PrototypeHead(4, 10, hidden=8, bottleneck=6)(torch.ones(2, 4)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        inputs: int,
        prototypes: int,
        *,
        hidden: int = 2048,
        bottleneck: int = 256,
        layers: int = 3,
        norm: ProjectorNorm = "none",
        unit: Literal["forward", "after_step"] = "forward",
        freeze_steps: int = 0,
    ) -> None:
        super().__init__()
        positive("prototypes", prototypes)
        activation: Literal["relu", "gelu"] = "gelu" if norm == "none" else "relu"
        self.projector = Projector(inputs, hidden, bottleneck, layers=layers, norm=norm, activation=activation)
        if norm == "none":
            for part in self.projector.modules():
                if isinstance(part, nn.Linear):
                    nn.init.trunc_normal_(part.weight, std=0.02)
                    nn.init.zeros_(part.bias)
        self.prototypes = Prototypes(bottleneck, prototypes, unit=unit, freeze_steps=freeze_steps)

    def forward(self, x: Tensor, step: int | None = None) -> Tensor:
        """Cosines ``(…, prototypes)`` of ``(…, inputs)``.

        Args:
            x: vectors or tokens.
            step: see ``Prototypes.forward``.
        """
        out: Tensor = self.prototypes(self.projector(x), step)
        return out
