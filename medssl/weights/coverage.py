"""Put weights into a module and say how much of it they cover."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medssl.errors import WeightsError


@dataclass(frozen=True)
class Coverage:
    """What loading did.

    Args:
        loaded: tensors that were loaded.
        total: tensors of the module.
        share: share of the module's parameters (numbers, not tensors) that were loaded.
        missing: names of the module that the weights lack.
        unexpected: names of the weights that the module lacks.
        mismatched: names whose shapes differ, with both shapes.
    """

    loaded: int
    total: int
    share: float
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line.

        Example:
            >>> Coverage(3, 4, 0.75, ("a.bias",), (), ()).text
            'loaded 3 of 4 tensors, 75.0 % of the parameters; missing 1 (a.bias)'
        """
        parts = [f"loaded {self.loaded} of {self.total} tensors, {100 * self.share:.1f} % of the parameters"]
        for what, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", self.mismatched),
        ):
            if names:
                more = ", …" if len(names) > 3 else ""
                parts.append(f"{what} {len(names)} ({', '.join(names[:3])}{more})")
        return "; ".join(parts)


def load_into(module: nn.Module, weights: Mapping[str, Tensor], *, minimum: float = 0.9) -> Coverage:
    """Copy the tensors that fit by name and shape into ``module``.

    Args:
        module: changed in place, unless too little fits.
        weights: name to tensor, for example ``Weights.encoder``.
        minimum: least share of the module's parameters that must fit.

    Raises:
        WeightsError: less fits (``weights-fit``).
    """
    state = module.state_dict()
    fits = [name for name, value in state.items() if name in weights and weights[name].shape == value.shape]
    wrong = tuple(
        f"{name} {tuple(weights[name].shape)} for {tuple(value.shape)}"
        for name, value in state.items()
        if name in weights and weights[name].shape != value.shape
    )
    sizes = {name: value.numel() for name, value in module.named_parameters()}
    share = sum(sizes.get(name, 0) for name in fits) / max(1, sum(sizes.values()))
    missing = tuple(name for name in state if name not in weights)
    unexpected = tuple(name for name in weights if name not in state)
    report = Coverage(len(fits), len(state), share, missing, unexpected, wrong)
    if share < minimum:
        raise WeightsError(
            f"the weights fit too little, at least {100 * minimum:.0f} % is expected: {report.text}",
            code="weights-fit",
            hint="choose the encoder that the weights were made with",
        )
    with torch.no_grad():
        for name in fits:
            state[name].copy_(weights[name])
    return report
