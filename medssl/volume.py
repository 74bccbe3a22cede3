"""A volume: voxels with the exact map from voxel index to millimetres."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM and ITK count millimetres to the left and to the back; we, as NIfTI, to the right and to the front."""

MAX_ORIGIN_MM = 1e6
"""No body lies so far away, and beyond it float32, in which NIfTI keeps the map, is too coarse for a voxel."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels and geometry of one scan.

    Args:
        data: voxels ``(C, i, j, k)``, any real dtype. Index order is nibabel's.
        affine: 4×4 float64 from voxel index ``(i, j, k, 1)`` to RAS+ millimetres.
        flags: what a careful reader should know, for example ``sheared`` or ``sform_qform_mismatch``.
        tags: plain facts without private data, for example ``{"modality": "CT"}``.

    Raises:
        InputError: the data have not 4 dimensions, or the affine is not an invertible 4×4.
    """

    data: NDArray[Any]
    affine: NDArray[np.float64]
    flags: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.data.ndim != 4:
            raise InputError(f"a volume has 4 dimensions (C, i, j, k), got {self.data.shape}", code="not-a-volume")
        affine = np.asarray(self.affine, dtype=np.float64)
        check_affine(affine)
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j and k."""
        i, j, k = self.data.shape[1:]
        return int(i), int(j), int(k)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along i, j and k."""
        return spacing_of(self.affine)

    @property
    def orientation(self) -> str:
        """Three letters: the side of the body towards which i, j and k grow."""
        return orientation_of(self.affine)


def check_affine(affine: NDArray[np.float64]) -> None:
    """Refuse anything but a finite, invertible 4×4 matrix whose last row is 0 0 0 1."""
    if affine.shape != (4, 4):
        raise InputError(f"an affine is a 4×4 matrix, got shape {affine.shape}", code="geometry")
    if not np.isfinite(affine).all():
        raise InputError("the affine has numbers that are not finite", code="geometry")
    if not np.array_equal(affine[3], [0, 0, 0, 1]):
        raise InputError(f"the affine's last row must be 0 0 0 1, got {affine[3].tolist()}", code="geometry")
    if np.abs(affine[:3, 3]).max() > MAX_ORIGIN_MM:
        raise InputError("the affine is senseless: the origin lies over a kilometre away", code="geometry")
    if abs(float(np.linalg.det(affine[:3, :3]))) < 1e-12:
        raise InputError("the affine cannot be inverted", code="geometry")


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Column lengths of an affine, in millimetres.

    Example:
        >>> spacing_of(np.diag([1.0, 2.0, 5.0, 1.0]))
        (1.0, 2.0, 5.0)
    """
    x, y, z = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    return float(x), float(y), float(z)


def axes_of(affine: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """For each voxel axis the world axis nearest to it and its sign, each world axis used once.

    Example:
        >>> axes_of(np.diag([-1.0, 1.0, 3.0, 1.0]))
        ((0, -1), (1, 1), (2, 1))
    """
    directions = affine[:3, :3] / np.asarray(spacing_of(affine))
    free = np.abs(directions)
    found: dict[int, tuple[int, int]] = {}
    for _ in range(3):
        world, voxel = (int(n) for n in np.unravel_index(int(np.argmax(free)), free.shape))
        found[voxel] = (world, 1 if directions[world, voxel] >= 0 else -1)
        free[world, :] = -1.0
        free[:, voxel] = -1.0
    return tuple(found[voxel] for voxel in range(3))


def orientation_of(affine: NDArray[np.float64]) -> str:
    """The orientation code of an affine.

    Example:
        >>> orientation_of(np.diag([-1.0, -1.0, 1.0, 1.0]))
        'LPS'
    """
    letters = ("LR", "PA", "IS")
    return "".join(letters[world][sign > 0] for world, sign in axes_of(affine))


def reorient(volume: Volume, code: str = "RAS") -> Volume:
    """Flip and permute axes, without interpolation, until the orientation is ``code``.

    The affine goes with the voxels, so every voxel keeps its place in the body; an oblique scan stays oblique.

    Example:
        >>> v = Volume(np.arange(8.0).reshape(1, 2, 2, 2), np.diag([-1.0, 1.0, 1.0, 1.0]))
        >>> w = reorient(v)
        >>> w.orientation, w.affine[0, 3], float(w.data[0, 0, 0, 0])
        ('RAS', np.float64(-1.0), 4.0)
    """
    letters = ("LR", "PA", "IS")
    want = [next((w, 1 if letters[w].index(c) else -1) for w in range(3) if c in letters[w]) for c in code]
    have = axes_of(volume.affine)
    order = [next(v for v in range(3) if have[v][0] == world) for world, _ in want]
    data = volume.data.transpose(0, *(v + 1 for v in order))
    step = np.zeros((4, 4))
    step[3, 3] = 1.0
    for new, (old, (_, sign)) in enumerate(zip(order, want, strict=True)):
        if have[old][1] == sign:
            step[old, new] = 1.0
        else:
            data = np.flip(data, new + 1)
            step[old, new] = -1.0
            step[old, 3] = volume.data.shape[old + 1] - 1
    return Volume(data, volume.affine @ step, volume.flags, dict(volume.tags))
