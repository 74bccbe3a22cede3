"""The way up from a coarse map to a fine one, in steps of small whole factors."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from medssl.encoders.contract import Features
from medssl.encoders.norms import Norm, convolution, norm_layer
from medssl.errors import UsageError


def steps_between(coarse: Sequence[int], fine: Sequence[int]) -> list[tuple[int, ...]]:
    """Factors of the steps from one stride to a finer one, smallest primes first, coarsest step first.

    Args:
        coarse: stride along each axis.
        fine: stride along each axis; divides ``coarse``.

    Raises:
        UsageError: ``fine`` does not divide ``coarse``.

    Example:
        >>> steps_between((8, 8, 2), (1, 1, 1))
        [(2, 2, 2), (2, 2, 1), (2, 2, 1)]
        >>> steps_between((2, 2, 2), (2, 2, 2))
        []
    """
    if any(c % f for c, f in zip(coarse, fine, strict=True)):
        raise UsageError(f"a decoder cannot go from stride {tuple(coarse)} to {tuple(fine)}", code="encoder")
    factors = [_primes(c // f) for c, f in zip(coarse, fine, strict=True)]
    count = max(map(len, factors))
    return [tuple(axis[n] if n < len(axis) else 1 for axis in factors) for n in range(count)]


def transposed(inputs: int, outputs: int, factor: Sequence[int], overlap: bool = False) -> nn.Module:
    """A transposed convolution that makes a map exactly ``factor`` times as fine.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        factor: along each axis.
        overlap: whether kernels reach over their neighbours (kernel 4 at factor 2) or tile (kernel 2).
    """
    kernel = tuple(2 * f if overlap and f % 2 == 0 else f for f in factor)
    margin = tuple((n - f) // 2 for n, f in zip(kernel, factor, strict=True))
    kind = nn.ConvTranspose3d if len(kernel) == 3 else nn.ConvTranspose2d
    return kind(inputs, outputs, kernel, tuple(factor), margin)  # type: ignore[arg-type]


def resized(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Cut what reaches beyond ``shape``: levels of odd inputs are rounded up."""
    if any(n < m for n, m in zip(x.shape[2:], shape, strict=True)):
        raise UsageError(f"a map of shape {tuple(x.shape[2:])} cannot fill {tuple(shape)}", code="encoder")
    for axis, n in enumerate(shape, start=2):
        x = x.narrow(axis, 0, n)
    return x


def double_convolution(inputs: int, outputs: int, dims: int, norm: Norm = "instance") -> nn.Sequential:
    """Two 3³ convolutions, each with a norm and a leaky ReLU."""
    parts: list[nn.Module] = []
    for channels in (inputs, outputs):
        parts += [convolution(channels, outputs, 3, 1, dims), norm_layer(norm, outputs, dims), nn.LeakyReLU(0.01)]
    return nn.Sequential(*parts)


def check_levels(features: Features, channels: Sequence[int]) -> None:
    """Refuse features whose pyramid is not the one that a decoder was built for."""
    got = [level.data.shape[1] for level in features.pyramid]
    if got != list(channels):
        raise UsageError(
            f"a decoder for levels of {tuple(channels)} channels got {tuple(got)}",
            code="encoder",
            hint="" if got else "an encoder that drops hidden tokens has no maps; use fill='learned'",
        )


def _primes(number: int) -> list[int]:
    found = []
    factor = 2
    while number > 1:
        while number % factor == 0:
            found.append(factor)
            number //= factor
        factor = factor + 1 if factor <= math.isqrt(number) else max(number, factor)
    return found
