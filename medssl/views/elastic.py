"""Smooth random deformation of a view: what a recipe says of it, and what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from medssl.draws import generator
from medssl.errors import RecipeError
from medssl.views.grid import Grid
from medssl.views.warp import LARGEST, Warp, lattice


@dataclass(frozen=True)
class Elastic:
    """Smooth random deformation.

    Args:
        p: chance that a view is deformed.
        amplitude_mm: smallest and largest length by which a control point may be moved; at most 0.36 of the spacing,
            so that tissue never folds. Between control points it moves by about a third of that.
        spacing_mm: between control points; the size of what is deformed together. In a view that is shorter than that
            on every side, its longest side takes its place and the amplitude shrinks with it, so that a mouse is bent
            as a man is, and not pushed out of the view.
    """

    p: Annotated[float, Field(ge=0, le=1)] = 0.3
    amplitude_mm: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (0.0, 8.0)
    spacing_mm: Annotated[float, Field(gt=0)] = 32.0

    def __post_init__(self) -> None:
        low, high = self.amplitude_mm
        if not 0 <= low <= high:
            raise RecipeError(f"expected two rising numbers from 0, got {list(self.amplitude_mm)}", path="amplitude_mm")
        if not 0 <= self.p <= 1 or not self.spacing_mm > 0:
            raise RecipeError(f"p must be in [0, 1] and spacing_mm above 0, got {self.p} and {self.spacing_mm}")
        if high > LARGEST * self.spacing_mm:
            raise RecipeError(
                f"expected at most {LARGEST} of spacing_mm, {LARGEST * self.spacing_mm:g}, got {high:g}",
                path="amplitude_mm",
                hint="a larger one could fold the body; raise spacing_mm with it",
            )


def draw_elastic(elastic: Elastic | None, rng: np.random.Generator) -> dict[str, Any]:
    """Draw a deformation: ``seed``, ``amplitude_mm`` and ``spacing_mm``, or ``{}``.

    Args:
        elastic: chance and range, or None.
        rng: always takes three numbers.

    Example:
        >>> sorted(draw_elastic(Elastic(p=1.0), np.random.default_rng(0)))
        ['amplitude_mm', 'seed', 'spacing_mm']
    """
    chance, place = rng.random(2)
    seed = int(rng.integers(2**62))
    if elastic is None or chance >= elastic.p:
        return {}
    low, high = elastic.amplitude_mm
    amplitude = float(low + place * (high - low))
    return {"seed": seed, "amplitude_mm": amplitude, "spacing_mm": elastic.spacing_mm} if amplitude else {}


def warp_of(grid: Grid, params: Mapping[str, Any]) -> Warp:
    """The deformation that was drawn, for a grid.

    Control points are moved in every direction alike, by at most the amplitude.

    Args:
        grid: its voxels' size and count say how many control points there are.
        params: from ``draw_elastic``.
    """
    sizes = np.linalg.norm(grid.affine[:3, :3], axis=0)
    shrunk = min(1.0, float((sizes * grid.shape).max()) / params["spacing_mm"])
    i, j, k = (float(shrunk * params["spacing_mm"] / size) for size in sizes)
    spacing = (i, j, k)
    points = generator(params["seed"]).uniform(-1.0, 1.0, (3, *lattice(grid.shape, spacing)))
    # the corners of the cube are pulled onto the ball, so that no direction reaches farther than another
    points *= shrunk * params["amplitude_mm"] / np.maximum(np.linalg.norm(points, axis=0), 1.0)
    return Warp(points, spacing, grid.shape).bounded(grid.affine)
