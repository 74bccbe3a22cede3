"""Flips, rotation, zoom, shear and deformation of a view, as one map of its grid: nothing is interpolated here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medssl.errors import RecipeError
from medssl.views.elastic import draw_elastic, warp_of
from medssl.views.grid import Array, Grid, about_centre, apply
from medssl.views.view import Spatial
from medssl.volume import axes_of


def draw_spatial(spatial: Spatial, rng: np.random.Generator) -> dict[str, Any]:
    """Draw a view's geometry.

    Args:
        spatial: chances and ranges.
        rng: takes the same count of numbers whatever comes out.

    Returns:
        Plain data for ``apply_spatial``: ``flip`` (three 0 or 1, of x, y and z), ``rotate_deg`` (about x, y and z),
        ``scale``, ``stretch`` (of i, j and k), ``shear`` (of x by y, x by z and y by z), ``turns`` (quarter turns in
        the i-j plane) and ``elastic``; only what is not the identity.

    Example:
        >>> draw_spatial(Spatial(flip=(1.0, 0.0, 0.0)), np.random.default_rng(0))
        {'flip': [1, 0, 0]}
    """
    chances = rng.random(4)
    angles = rng.uniform(-1.0, 1.0, 3) * spatial.rotate_deg
    zoom = rng.random()
    turns = int(rng.integers(1, 4))
    stretch = np.asarray(spatial.stretch, dtype=np.float64) ** rng.uniform(-1.0, 1.0, 3)
    shear = rng.uniform(-1.0, 1.0, 3) * spatial.shear
    elastic = draw_elastic(spatial.elastic, rng)
    low, high = spatial.scale
    scale = low if low == high else math.exp(math.log(low) + zoom * (math.log(high) - math.log(low)))
    drawn: dict[str, tuple[bool, Any]] = {
        "flip": (any(chances[:3] < spatial.flip), [int(a < b) for a, b in zip(chances, spatial.flip, strict=False)]),
        "rotate_deg": (bool(np.any(spatial.rotate_deg)), angles.tolist()),
        "scale": (scale != 1.0, float(scale)),
        "stretch": (spatial.stretch != (1.0, 1.0, 1.0), stretch.tolist()),
        "shear": (bool(spatial.shear), shear.tolist()),
        "turns": (bool(chances[3] < spatial.quarter_turns), turns),
        "elastic": (bool(elastic), elastic),
    }
    return {name: value for name, (changes, value) in drawn.items() if changes}


def apply_spatial(grid: Grid, params: Mapping[str, Any]) -> Grid:
    """A grid turned as drawn, about its centre; its box stays.

    A flip or quarter turn maps voxels onto voxels, so that a crop on stored voxels is still copied, not
    interpolated. A rotation is one of the body in millimetres, also where voxels are anisotropic. A deformation
    comes last and is laid over the view as it then is.

    Args:
        grid: a crop.
        params: from ``draw_spatial``.

    Raises:
        RecipeError: a quarter turn of a view that is not as long along i as along j.
    """
    out = grid
    if "shear" in params or "rotate_deg" in params:
        matrix = rotation_matrix(params.get("rotate_deg", [0.0] * 3)) @ shear_matrix(params.get("shear", [0.0] * 3))
        out = out.then(_in_mm(grid, matrix))
    if "scale" in params or "stretch" in params:
        zoom = params.get("scale", 1.0) * np.asarray(params.get("stretch", [1.0] * 3))
        out = out.then(about_centre(np.diag(zoom), grid.shape))
    if "flip" in params:
        # before quarter turns, while the view's axes still run as the scan's
        signs = [1.0] * 3
        for axis, (world, _) in enumerate(axes_of(grid.affine)):
            signs[axis] = 1.0 - 2.0 * params["flip"][world]
        out = out.then(about_centre(np.diag(signs), grid.shape))
    if params.get("turns", 0) % 4:
        if grid.shape[0] != grid.shape[1]:
            raise RecipeError(f"quarter turns need views as long along i as along j, got {grid.shape}")
        turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
        out = out.then(about_centre(np.linalg.matrix_power(turn, params["turns"] % 4), grid.shape))
    return out.warped(warp_of(out, params["elastic"])) if "elastic" in params else out


def _in_mm(grid: Grid, matrix: Array) -> Array:
    """View voxel to view voxel: a 3×3 map of millimetres about the view's centre."""
    centre = apply(grid.affine, (np.asarray([grid.shape], dtype=np.float64) - 1) / 2)[0]
    turn = np.eye(4)
    turn[:3, :3] = matrix
    turn[:3, 3] = centre - matrix @ centre
    out: Array = np.linalg.inv(grid.affine) @ turn @ grid.affine
    return out


def shear_matrix(shear: Sequence[float]) -> Array:
    """Moves x by y, x by z and y by z, in millimetres per millimetre; volumes stay.

    Example:
        >>> (shear_matrix([0.1, 0.0, 0.0]) @ [0, 2, 0]).tolist()
        [0.2, 2.0, 0.0]
    """
    out = np.eye(3)
    out[np.triu_indices(3, 1)] = shear
    return out


def rotation_matrix(angles_deg: Sequence[float]) -> Array:
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
