"""What every crop policy is built on: the earlier roles' grids, and settings that are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medssl.errors import RecipeError
from medssl.views.grid import Grid

Drawn = Mapping[str, Sequence[Grid]]


def earlier(role: str, drawn: Drawn) -> Sequence[Grid]:
    """The grids of an earlier role.

    Raises:
        RecipeError: it has none, or is declared later.
    """
    grids = drawn.get(role)
    if not grids:
        raise RecipeError(f"the role {role!r} must be declared before, there are {sorted(drawn)}")
    return grids


def check_shape(name: str, shape: tuple[int, int, int]) -> None:
    """Refuse a shape that is not three whole numbers above 0."""
    if len(shape) != 3 or any(int(n) != n or n < 1 for n in shape):
        raise RecipeError(f"{name} must be three whole numbers above 0, got {shape}")


def check_scale(scale: tuple[float, float]) -> None:
    """Refuse a zoom that is not two rising numbers above 0."""
    if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
        raise RecipeError(f"scale must be two rising numbers above 0, got {scale}")
