"""Checks of what is given to an encoder's forward."""

from __future__ import annotations

from torch import Tensor

from medssl.encoders.contract import Encoder
from medssl.errors import UsageError

FILLS = ("drop", "zero", "learned")
"""What may become of hidden tokens."""


def check_input(encoder: Encoder, x: Tensor, hidden: Tensor | None, fill: str) -> None:
    """Refuse an input that does not fit the encoder.

    Args:
        encoder: whose ``in_channels`` and ``dims`` count.
        x: ``(N, C, i, j, k)``.
        hidden: ``(N, cells…)`` bool, or None.
        fill: one of ``FILLS``.

    Raises:
        UsageError: channels, dimensions, cells or fill do not fit.
    """
    name = type(encoder).__name__
    if x.ndim != encoder.dims + 2 or x.shape[1] != encoder.in_channels:
        want = f"(N, {encoder.in_channels}, {', '.join('ijk'[: encoder.dims])})"
        raise UsageError(f"{name} takes {want}, got {tuple(x.shape)}", code="encoder")
    if fill not in FILLS:
        raise UsageError(f"fill must be one of {', '.join(FILLS)}, got {fill!r}", code="encoder")
    if hidden is None:
        return
    if hidden.ndim != encoder.dims + 1 or len(hidden) != len(x):
        raise UsageError(f"hidden must be ({len(x)}, cells…), got {tuple(hidden.shape)}", code="encoder")
    if hidden.device != x.device:
        raise UsageError(f"hidden is on {hidden.device}, the input on {x.device}", code="encoder")


def check_statistics(encoder: Encoder, x: Tensor, norm: str) -> None:
    """Refuse an input that leaves the coarsest level's norm a single value.

    Raises:
        UsageError: the crop is too small for the strides.
    """
    coarse = encoder.strides[-1]
    single = all(n <= stride for n, stride in zip(x.shape[2:], coarse, strict=True))
    if single and (norm == "instance" or (norm == "batch" and encoder.training and len(x) == 1)):
        raise UsageError(
            f"{norm} norm needs more than one value, but an input {tuple(x.shape[2:])} is a single site at stride "
            f"{coarse}",
            code="encoder",
            hint="use a larger crop, fewer stages or norm: group",
        )
