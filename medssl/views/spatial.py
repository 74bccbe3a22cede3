"""Flips, rotations, zoom and quarter turns of a view, as one map of its grid: nothing is interpolated here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import RecipeError
from medssl.views.grid import Array, Grid, about_centre, apply
from medssl.views.view import Spatial


def draw_spatial(spatial: Spatial, rng: np.random.Generator) -> dict[str, Any]:
    """Draw a view's geometry.

    Args:
        spatial: chances and ranges.
        rng: takes the same count of numbers whatever comes out.

    Returns:
        Plain data for ``apply_spatial``: ``flip`` (three 0 or 1), ``rotate_deg`` (about x, y and z), ``scale`` and
        ``turns`` (quarter turns in the i-j plane); only what is not the identity.

    Example:
        >>> draw_spatial(Spatial(flip=(1.0, 0.0, 0.0)), np.random.default_rng(0))
        {'flip': [1, 0, 0]}
    """
    chances = rng.random(4)
    angles = rng.uniform(-1.0, 1.0, 3) * spatial.rotate_deg
    zoom = rng.random()
    turns = int(rng.integers(1, 4))
    low, high = spatial.scale
    scale = low if low == high else float(math.exp(math.log(low) + zoom * (math.log(high) - math.log(low))))
    out: dict[str, Any] = {}
    flip = [int(chance < share) for chance, share in zip(chances, spatial.flip, strict=False)]
    if any(flip):
        out["flip"] = flip
    if spatial.rotate_deg:
        out["rotate_deg"] = [float(angle) for angle in angles]
    if scale != 1.0:
        out["scale"] = float(scale)
    if chances[3] < spatial.quarter_turns:
        out["turns"] = turns
    return out


def apply_spatial(grid: Grid, params: Mapping[str, Any]) -> Grid:
    """A grid turned as drawn, about its centre; its box stays.

    A flip or quarter turn maps voxels onto voxels, so that a crop on stored voxels is still copied, not
    interpolated. A rotation is one of the body in millimetres, also where voxels are anisotropic.

    Args:
        grid: a crop.
        params: from ``draw_spatial``.

    Raises:
        RecipeError: a quarter turn of a view that is not as long along i as along j.
    """
    out = grid
    if "rotate_deg" in params:
        out = out.then(_rotation(grid, params["rotate_deg"]))
    if "scale" in params:
        out = out.then(about_centre(np.eye(3) * params["scale"], grid.shape))
    if params.get("turns", 0) % 4:
        if grid.shape[0] != grid.shape[1]:
            raise RecipeError(f"quarter turns need views as long along i as along j, got {grid.shape}")
        turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
        out = out.then(about_centre(np.linalg.matrix_power(turn, params["turns"] % 4), grid.shape))
    if "flip" in params:
        out = out.then(about_centre(np.diag([1.0 - 2.0 * bit for bit in params["flip"]]), grid.shape))
    return out


def _rotation(grid: Grid, angles_deg: list[float]) -> Array:
    """View voxel to view voxel: the rotation about x, then y, then z, about the view's centre in millimetres."""
    centre = apply(grid.affine, (np.asarray([grid.shape], dtype=np.float64) - 1) / 2)[0]
    matrix = rotation_matrix(angles_deg)
    turn = np.eye(4)
    turn[:3, :3] = matrix
    turn[:3, 3] = centre - matrix @ centre
    out: Array = np.linalg.inv(grid.affine) @ turn @ grid.affine
    return out


def rotation_matrix(angles_deg: list[float]) -> NDArray[np.float64]:
    """The rotation about x, then y, then z.

    Example:
        >>> np.rint(rotation_matrix([0, 0, 90]) @ [1, 0, 0]).tolist()
        [0.0, 1.0, 0.0]
    """
    out = np.eye(3)
    for axis, angle in enumerate(angles_deg):
        a, b = [other for other in range(3) if other != axis]
        cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        one = np.eye(3)
        one[a, a] = one[b, b] = cosine
        # rotations about y turn z towards x, the other way round in the order of indices
        one[a, b], one[b, a] = (-sine, sine) if axis != 1 else (sine, -sine)
        out = one @ out
    return out
