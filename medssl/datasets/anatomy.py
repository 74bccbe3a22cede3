"""The anatomy of a phantom as plain numbers: nested organs in a body of unit radius, drawn per patient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Tissue:
    """How a tissue looks and what it is.

    Args:
        group: value of ``label_groups.GROUPS``, 0 for none of them.
        hu: mean CT value.
        mr: mean MR value, in arbitrary units.
        texture: strength of its texture, as a share of 100 HU or of 100 MR units.
        grain: which of the texture fields it shows, 0 coarse to 2 fine.
    """

    group: int
    hu: float
    mr: float
    texture: float
    grain: int


TISSUES: dict[str, Tissue] = {
    "fat": Tissue(0, -100, 620, 0.15, 0),
    "wall": Tissue(0, -45, 430, 0.20, 1),
    "lung": Tissue(0, -820, 40, 0.60, 2),
    "liver": Tissue(1, 75, 300, 0.12, 0),
    "spleen": Tissue(1, 95, 230, 0.10, 1),
    "kidney": Tissue(1, 130, 320, 0.35, 1),
    "stomach": Tissue(2, 15, 180, 0.50, 1),
    "bowel": Tissue(2, 5, 210, 1.20, 2),
    "heart": Tissue(3, 150, 140, 0.15, 0),
    "vessel": Tissue(3, 210, 90, 0.05, 0),
    "spine": Tissue(4, 350, 450, 1.00, 2),
    "rib": Tissue(4, 500, 160, 0.40, 2),
    "muscle": Tissue(5, 55, 200, 0.20, 2),
}
"""Tissue by name; a phantom is painted in the order of ``ORGANS``, not of this table."""

# name, tissue, centre and radii in the body's own unit: x to the right, y to the front, z to the head
ORGANS: tuple[tuple[str, str, Vector, Vector], ...] = (
    ("lung_right", "lung", (0.42, 0.02, 0.48), (0.33, 0.55, 0.44)),
    ("lung_left", "lung", (-0.42, 0.02, 0.48), (0.31, 0.52, 0.44)),
    ("liver", "liver", (0.36, 0.14, -0.06), (0.42, 0.50, 0.27)),
    ("spleen", "spleen", (-0.58, -0.18, -0.04), (0.19, 0.27, 0.19)),
    ("stomach", "stomach", (-0.28, 0.32, -0.08), (0.26, 0.24, 0.20)),
    ("bowel", "bowel", (0.02, 0.28, -0.56), (0.56, 0.40, 0.30)),
    ("kidney_right", "kidney", (0.40, -0.34, -0.36), (0.15, 0.17, 0.22)),
    ("kidney_left", "kidney", (-0.40, -0.34, -0.32), (0.15, 0.17, 0.22)),
    ("heart", "heart", (-0.13, 0.22, 0.38), (0.27, 0.29, 0.26)),
    ("aorta", "vessel", (-0.11, -0.26, 0.10), (0.10, 0.10, 1.20)),
    ("vena_cava", "vessel", (0.12, -0.24, -0.10), (0.09, 0.09, 0.90)),
    ("psoas_right", "muscle", (0.23, -0.42, -0.62), (0.13, 0.13, 0.36)),
    ("psoas_left", "muscle", (-0.23, -0.42, -0.62), (0.13, 0.13, 0.36)),
    ("back_right", "muscle", (0.23, -0.66, 0.0), (0.20, 0.16, 1.60)),
    ("back_left", "muscle", (-0.23, -0.66, 0.0), (0.20, 0.16, 1.60)),
    ("spine", "spine", (0.0, -0.52, 0.0), (0.14, 0.17, 1.80)),
)


@dataclass(frozen=True)
class Organ:
    """One organ of one patient: an ellipsoid.

    Args:
        tissue: a key of ``TISSUES``.
        centre: in the body's own unit.
        radii: along x, y and z, in the body's own unit.
    """

    tissue: str
    centre: Vector
    radii: Vector


@dataclass(frozen=True)
class Anatomy:
    """One patient.

    Args:
        organs: painted in this order, a later one over an earlier one.
        size: radii of the body as shares of half the field of view.
        turn: small rotation of the body around x, y and z, in radians.
        contrast: factor on blood, for contrast medium.
        ribs: pairs of ribs from the diaphragm to the top.
        waves: texture fields, ``(3 grains, waves, 4)``: wave vector in radians per body unit, and phase.
    """

    organs: tuple[Organ, ...]
    size: Vector
    turn: Vector
    contrast: float
    ribs: int
    waves: NDArray[np.float32]


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient: organs shifted and scaled around ``ORGANS``, body size, posture, contrast and textures.

    Example:
        >>> draw_anatomy(np.random.default_rng(0)).organs[2].tissue
        'liver'
    """
    organs = []
    for _, tissue, centre, radii in ORGANS:
        moved = np.asarray(centre) + rng.normal(0, 0.035, 3)
        scaled = np.asarray(radii) * rng.uniform(0.82, 1.15, 3)
        organs.append(Organ(tissue, _vector(moved), _vector(scaled)))
    waves = np.zeros((3, 6, 4), np.float32)
    for grain, frequency in enumerate((6.0, 16.0, 38.0)):
        direction = rng.normal(0, 1, (6, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        waves[grain, :, :3] = direction * frequency * rng.uniform(0.6, 1.4, (6, 1))
        waves[grain, :, 3] = rng.uniform(0, 2 * np.pi, 6)
    return Anatomy(
        organs=tuple(organs),
        size=_vector(rng.uniform((0.80, 0.62, 0.95), (0.94, 0.80, 1.15))),
        turn=_vector(rng.uniform(-0.15, 0.15, 3)),
        contrast=float(rng.uniform(0.5, 1.3)),
        ribs=int(rng.integers(7, 11)),
        waves=waves,
    )


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(v) for v in values)
    return x, y, z
