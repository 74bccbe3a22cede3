"""Multi-layer perceptron on vectors: the projector of joint-embedding methods, and their predictor.

The papers' heads by arguments, with the lengths that they use for a ResNet-50 (w is the encoder's width):

* SimCLR (arXiv 2002.05709): ``(w, 2048, 128)``
* MoCo v2 (2003.04297): ``(w, 2048, 128, norm="none")``
* MoCo v3 (2104.02057): ``(w, 4096, 256, layers=3, last_norm=True)``, predictor ``(256, 4096, 256, last_norm=True)``
* BYOL (2006.07733): ``(w, 4096, 256)``, predictor ``(256, 4096, 256)``
* SimSiam (2011.10566): ``(w, 2048, 2048, layers=3, last_norm=True)``, predictor ``(2048, 512, 2048)``
* SwAV (2006.09882): ``(w, 2048, 128)``, then ``Prototypes(128, K, unit="after_step")``
* DINO (2104.14294): ``PrototypeHead(w, K)``
* Barlow Twins (2103.03230), VICReg (2105.04906): ``(w, 8192, 8192, layers=3)``

MoCo v3 on a ResNet has two layers and not three.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from medssl.encoders.settings import one_of, positive
from medssl.errors import UsageError

ProjectorNorm = Literal["batch", "layer", "none"]
Activation = Literal["relu", "gelu"]


class Projector(nn.Module):
    """Linear layers with a norm and an activation between them (SimCLR, arXiv 2002.05709; BYOL, 2006.07733).

    The same class serves as a predictor: ``Projector(out, hidden, out)``.

    Args:
        inputs: length of the vectors that come in.
        hidden: length between layers.
        outputs: length of the vectors that go out.
        layers: linear layers; 1 is a single one without norm or activation.
        norm: ``batch``, ``layer`` or ``none``, after each layer but the last. Layers before a norm have no bias.
        last_norm: a norm without scale and shift after the last layer (as in SimSiam, arXiv 2011.10566).
        activation: ``relu``, or ``gelu`` as in DINO (arXiv 2104.14294).

    Raises:
        RecipeError: a setting is out of range.

    Example:
        >>> import torch
        >>> Projector(4, 8, 2)(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        inputs: int,
        hidden: int = 2048,
        outputs: int = 128,
        *,
        layers: int = 2,
        norm: ProjectorNorm = "batch",
        last_norm: bool = False,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        numbers = {"inputs": inputs, "hidden": hidden, "outputs": outputs, "layers": layers}
        for name, value in numbers.items():
            positive(name, value)
        one_of("norm", norm, ("batch", "layer", "none"))
        one_of("activation", activation, ("relu", "gelu"))
        self.inputs, self.outputs = inputs, outputs
        parts: list[nn.Module] = []
        for n in range(layers - 1):
            parts.append(nn.Linear(inputs if n == 0 else hidden, hidden, bias=norm == "none"))
            parts += [*_norm(norm, hidden, affine=True), nn.GELU() if activation == "gelu" else nn.ReLU()]
        ends_in_norm = last_norm and norm != "none"
        parts.append(nn.Linear(hidden if layers > 1 else inputs, outputs, bias=not ends_in_norm))
        parts += _norm(norm, outputs, affine=False) if ends_in_norm else []
        self.layers = nn.Sequential(*parts)
        self.needs_rows = any(isinstance(part, nn.BatchNorm1d) for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        """``(…, inputs)`` to ``(…, outputs)``; batch statistics run over everything but the last axis.

        Raises:
            UsageError: the length does not fit, or batch norm is given a single row in training.
        """
        if x.shape[-1] != self.inputs:
            raise UsageError(f"expected vectors of length {self.inputs}, got {tuple(x.shape)}", code="batch")
        rows = x.reshape(-1, self.inputs)
        if self.training and self.needs_rows and len(rows) < 2:
            raise UsageError(
                f"batch norm needs 2 or more rows in training, got {len(rows)}",
                code="batch",
                hint="use a larger batch, or norm: layer",
            )
        out: Tensor = self.layers(rows)
        return out.reshape(*x.shape[:-1], self.outputs)


def _norm(norm: ProjectorNorm, width: int, affine: bool) -> list[nn.Module]:
    if norm == "none":
        return []
    if norm == "layer":
        return [nn.LayerNorm(width, elementwise_affine=affine)]
    return [nn.BatchNorm1d(width, affine=affine)]
