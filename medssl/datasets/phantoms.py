"""Anatomical phantoms: a trunk with nested, textured organs, seen by a CT-like or an MR-like scanner.

They look like scans to a program, not to a physician: they serve tests, and the demo where there is no network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl import draws
from medssl.datasets.anatomy import TISSUES, Anatomy, draw_anatomy
from medssl.errors import UsageError
from medssl.volume import Volume

REGIONS: dict[str, tuple[float, float]] = {"trunk": (0.0, 1.0), "chest": (0.42, 0.62), "abdomen": (-0.38, 0.62)}
"""Region → where the middle of the field of view lies and what share of the trunk's height it shows."""

_AIR, _FAT, _WALL, _RIB = 0, 1, 2, 3
_FIRST_ORGAN = 4

Field = NDArray[np.float32]


def phantom(
    seed: int,
    index: int,
    modality: str = "CT",
    spacing_mm: tuple[float, float, float] = (3.0, 3.0, 3.0),
    shape: tuple[int, int, int] = (48, 48, 48),
    region: str = "trunk",
    noise: int = 0,
) -> tuple[Volume, Volume]:
    """One phantom and its label map.

    ``seed`` and ``index`` make the patient: the same two give the same anatomy at any spacing, shape and modality,
    always filling the field of view in the same way. The grid is tilted against the body, its axes may be flipped.

    Args:
        seed: as everywhere.
        index: number of the patient.
        modality: ``"CT"`` (int16 HU) or ``"MR"`` (float32, not negative, with a smooth bias).
        spacing_mm: voxel size along i, j and k.
        shape: voxels along i, j and k.
        region: a key of ``REGIONS``.
        noise: number of the scan of this patient; another number is another noise.

    Returns:
        The scan and the labels (uint8, values of ``label_groups.GROUPS``), one channel each, on one grid.

    Raises:
        UsageError: an unknown modality or region.

    Example:
        >>> scan, label = phantom(0, 1, shape=(16, 16, 16), spacing_mm=(9.0, 9.0, 9.0))
        >>> scan.data.shape, str(scan.data.dtype), int(label.data.max()) <= 5
        ((1, 16, 16, 16), 'int16', True)
    """
    if modality not in ("CT", "MR"):
        raise UsageError(f"a phantom's modality is CT or MR, got {modality!r}")
    if region not in REGIONS:
        raise UsageError(f"a phantom's region is one of {', '.join(REGIONS)}, got {region!r}")
    anatomy = draw_anatomy(draws.generator(seed, draws.PHANTOM, index))
    affine = _tilted_grid(draws.generator(seed, draws.PHANTOM, index, 1), shape, spacing_mm)
    place = _body_coordinates(anatomy, affine, shape, region)
    part = _paint(anatomy, place)
    clean = _contrast(anatomy, part, place, modality)
    data = _scanner(draws.generator(seed, draws.PHANTOM, index, 2 + noise), clean, place, modality)
    groups = np.array([0, 0, 0, 4, *(TISSUES[o.tissue].group for o in anatomy.organs)], dtype=np.uint8)
    tags = {"modality": modality}
    return Volume(data[None], affine, tags=dict(tags)), Volume(groups[part][None], affine, tags=dict(tags))


def _tilted_grid(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """An oblique affine with drawn flips and origin."""
    signs = np.where(rng.random(3) < 0.5, -1.0, 1.0)
    turn = _rotation(rng.uniform(-0.12, 0.12, 3))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(signs * np.asarray(spacing_mm))
    affine[:3, 3] = rng.uniform(-50, 50, 3)
    return affine


def _body_coordinates(
    anatomy: Anatomy, affine: NDArray[np.float64], shape: tuple[int, int, int], region: str
) -> tuple[Field, Field, Field]:
    """Where each voxel lies in the body's own unit: x, y, z of shape ``(i, j, k)``."""
    size = np.asarray(shape)
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    half_mm = spacing * size / 2
    middle, share = REGIONS[region]
    scale = np.asarray(anatomy.size) * half_mm / np.array([1.0, 1.0, share])
    step = _rotation(anatomy.turn) @ affine[:3, :3]
    # voxel axes run along world axes up to a tilt, so x, y, z of a voxel are sums of three lines
    index = [np.arange(n) - (n - 1) / 2 for n in shape]
    lines = [[(step[row, axis] * index[axis] / scale[row]) for axis in range(3)] for row in range(3)]
    lines[2][2] = lines[2][2] + middle
    x, y, z = ((a[:, None, None] + b[None, :, None] + c[None, None, :]).astype(np.float32) for a, b, c in lines)
    return x, y, z


def _paint(anatomy: Anatomy, place: tuple[Field, Field, Field]) -> NDArray[np.uint8]:
    """Which part every voxel belongs to: air, fat, wall, rib, then the organs in order."""
    x, y, z = place
    # a trunk narrows at both ends, but not to a point
    depth = np.sqrt(x * x + y * y) + 0.25 * np.maximum(np.abs(z) - 0.6, 0)
    part = np.zeros(x.shape, np.uint8)
    part[(depth < 1) & (np.abs(z) < 1.1)] = _FAT
    part[(depth < 0.91) & (np.abs(z) < 1.1)] = _WALL
    for number, organ in enumerate(anatomy.organs):
        (cx, cy, cz), (rx, ry, rz) = organ.centre, organ.radii
        inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2 < 1
        inside &= (part != _AIR) & (depth < 0.88)
        if organ.tissue == "bowel":
            # coiled: bands of the coarse texture, so that loops and mesentery alternate
            inside &= np.sin(9 * x + 3 * y) + np.sin(11 * z - 4 * y) > -0.7
        part[inside] = _FIRST_ORGAN + number
    shell = (depth > 0.80) & (depth < 0.88) & (z > -0.15) & (z < 1.05)
    # ribs fall to the front, hence the slope in y
    part[shell & (np.sin(2 * np.pi * anatomy.ribs / 1.2 * (z + 0.25 * y)) > 0.35)] = _RIB
    return part


def _contrast(anatomy: Anatomy, part: NDArray[np.uint8], place: tuple[Field, Field, Field], modality: str) -> Field:
    """Noise-free values of the modality: a mean for each tissue, and its texture."""
    names = ["fat", "wall", "rib", *(organ.tissue for organ in anatomy.organs)]
    kinds = [TISSUES[name] for name in names]
    ct = modality == "CT"
    mean = np.array([-1000.0 if ct else 0.0, *(kind.hu if ct else kind.mr for kind in kinds)], dtype=np.float32)
    for number, kind in enumerate(kinds, start=1):
        if kind.group == 3:
            mean[number] *= anatomy.contrast
    strength = np.zeros((3, len(mean)), np.float32)
    for number, kind in enumerate(kinds, start=1):
        strength[kind.grain, number] = 100.0 * kind.texture
    value: Field = mean[part]
    for grain in range(3):
        value += strength[grain][part] * _texture(anatomy.waves[grain], place)
    return value


def _texture(waves: NDArray[np.float32], place: tuple[Field, Field, Field]) -> Field:
    """A field between about -1 and 1 that belongs to the body, not to the grid."""
    x, y, z = place
    total = np.zeros(x.shape, np.float32)
    for a, b, c, phase in waves:
        total += np.sin(a * x + b * y + c * z + phase)
    total *= np.float32(0.4)
    return total


def _scanner(rng: np.random.Generator, clean: Field, place: tuple[Field, Field, Field], modality: str) -> NDArray[Any]:
    """What the scanner makes of it: noise for CT; coil bias and Rician noise for MR."""
    if modality == "CT":
        noisy = clean + rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(14)
        hounsfield: NDArray[np.int16] = np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)
        return hounsfield
    x, y, z = place
    a, b, c = rng.uniform(-0.25, 0.25, 3).astype(np.float32)
    clean = np.maximum(clean, 0) * np.exp(a * x + b * y + c * z)
    real = clean + rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(9)
    other = rng.standard_normal(clean.shape, dtype=np.float32) * np.float32(9)
    magnitude: Field = np.hypot(real, other)
    return magnitude


def _rotation(angles: Any) -> NDArray[np.float64]:
    """Rotation around x, then y, then z."""
    (a, b, c), turn = angles, np.eye(3)
    for (row, col), angle in zip(((1, 2), (2, 0), (0, 1)), (a, b, c), strict=True):
        one = np.eye(3)
        one[row, row] = one[col, col] = np.cos(angle)
        one[col, row], one[row, col] = np.sin(angle), -np.sin(angle)
        turn = one @ turn
    return turn
