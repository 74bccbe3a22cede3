"""Checks of an encoder's or a head's settings: the rule first, then the value that came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from medssl.errors import RecipeError

Choice = TypeVar("Choice", int, str)


def positive(name: str, value: float) -> None:
    """Refuse a number that is not above zero.

    Example:
        >>> positive("width", 0)
        Traceback (most recent call last):
        ...
        medssl.errors.RecipeError: width must be above 0, got 0 [recipe-value]
    """
    if isinstance(value, bool) or not value > 0:
        raise RecipeError(f"{name} must be above 0, got {value!r}")


def one_of(name: str, value: Choice, choices: Sequence[Choice]) -> None:
    """Refuse a value that is not among ``choices``."""
    if value not in choices:
        raise RecipeError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")


def share(name: str, value: float) -> None:
    """Refuse a number outside [0, 1)."""
    if not 0 <= value < 1:
        raise RecipeError(f"{name} must be in [0, 1), got {value!r}")


def lengths(name: str, values: Sequence[object], count: int) -> None:
    """Refuse a sequence that has not ``count`` entries."""
    if len(values) != count:
        raise RecipeError(f"{name} must have {count} entries, got {len(values)}: {tuple(values)}")


def per_axis(name: str, value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """One positive whole number for each axis; a single one stands for all of them.

    Example:
        >>> per_axis("patch", 8, 3)
        (8, 8, 8)
        >>> per_axis("patch", (8, 8, 4), 3)
        (8, 8, 4)
    """
    values = (value,) * dims if isinstance(value, int) else tuple(value)
    lengths(name, values, dims)
    for number in values:
        positive(name, number)
    return values


def dimensions(dims: int) -> None:
    """Refuse anything but two or three dimensions."""
    if dims not in (2, 3):
        raise RecipeError(f"dims must be 2 or 3, got {dims!r}", code="encoder")
