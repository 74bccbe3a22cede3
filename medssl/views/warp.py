"""Elastic deformation: a cubic B-spline through a few control points, in millimetres.

Control points lie on a lattice over the view's voxels, symmetric about its centre and one point beyond its edges.
The displacement between them is smooth, needs a few hundred numbers instead of millions, and is known at fractional
indices too. Rueckert et al., IEEE Transactions on Medical Imaging 18(8), 1999.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST = 0.36
"""Largest displacement of a control point, in distances between control points, along any axis of the lattice.

Below 0.4033 no sum of the spline's slopes over the axes reaches 1, so that no two voxels change places (Choi and
Lee, Graphical Models 62(6), 2000) and a fixed-point iteration finds the inverse; 0.36 leaves it at least a tenth a
step.
"""


@dataclass(frozen=True, eq=False)
class Warp:
    """A deformation of a view.

    Args:
        points: ``(3, a, b, c)`` float64 displacements of the control points, in RAS millimetres.
        spacing: ``(3,)`` view voxels between control points along i, j and k.
        shape: voxels of the view.

    Raises:
        ValueError: the counts are not those of ``lattice``, or a number is not finite.
    """

    points: Array
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        expected = (3, *lattice(self.shape, self.spacing))
        if self.points.shape != expected:
            raise ValueError(f"control points must have shape {expected}, got {self.points.shape}")
        if not np.isfinite(self.points).all():
            raise ValueError("control points must be finite")

    def at(self, index: NDArray[Any]) -> Array:
        """Displacements ``(N, 3)`` in millimetres at view voxel indices ``(N, 3)``, which may be fractional.

        Beyond the view the displacement of its edge goes on.
        """
        index = np.asarray(index, dtype=np.float64)
        out = np.zeros((len(index), 3))
        ends = [_weights(index[:, axis], self.shape[axis], self.spacing[axis]) for axis in range(3)]
        (i, wi), (j, wj), (k, wk) = ends
        for a, b, c in np.ndindex(4, 4, 4):
            out += (wi[a] * wj[b] * wk[c])[:, None] * self.points[:, i + a, j + b, k + c].T
        return out

    def weights(self, axis: int) -> tuple[NDArray[np.int32], Array]:
        """For every voxel along an axis: its first control point ``(n,)`` and the weights of four ``(4, n)``."""
        return _weights(np.arange(self.shape[axis], dtype=np.float64), self.shape[axis], self.spacing[axis])

    def field(self) -> Array:
        """Displacements of all voxels, ``(3, i, j, k)`` millimetres."""
        out = self.points
        for axis in range(3):
            out = np.moveaxis(np.tensordot(self.matrix(axis), out, axes=(1, axis + 1)), 0, axis + 1)
        return out

    def matrix(self, axis: int) -> Array:
        """The weights along an axis as a matrix ``(voxels, control points)``."""
        first, weights = self.weights(axis)
        out = np.zeros((len(first), self.points.shape[axis + 1]))
        for tap in range(4):
            out[np.arange(len(first)), first + tap] = weights[tap]
        return out

    def turned(self, axes: tuple[int, ...], signs: tuple[int, ...]) -> Warp:
        """The deformation of a view with axes exchanged and flipped.

        Args:
            axes: for each axis of the new view, the old one.
            signs: for each axis of the new view, -1 where it runs against the old one.
        """
        points = self.points.transpose(0, *(axis + 1 for axis in axes))
        points = points[(slice(None), *(slice(None, None, sign) for sign in signs))]
        i, j, k = axes
        spacing, shape = self.spacing, self.shape
        return Warp(np.ascontiguousarray(points), (spacing[i], spacing[j], spacing[k]), (shape[i], shape[j], shape[k]))

    def bounded(self, affine: Array) -> Warp:
        """The same deformation, weaker where it could fold; see ``LARGEST``.

        Args:
            affine: the view's, voxel index to millimetres.
        """
        into = np.linalg.inv(affine[:3, :3] * np.asarray(self.spacing))
        most = float(np.abs(np.einsum("ab,bijk->aijk", into, self.points)).max(initial=0.0))
        return self if most <= LARGEST else Warp(self.points * (LARGEST / most), self.spacing, self.shape)

    def to_plain(self) -> dict[str, Any]:
        """The deformation as plain data."""
        return {"points": self.points.tolist(), "spacing": [float(step) for step in self.spacing]}

    @classmethod
    def from_plain(cls, data: dict[str, Any], shape: tuple[int, int, int]) -> Warp:
        """The inverse of ``to_plain``."""
        i, j, k = data["spacing"]
        return cls(np.asarray(data["points"], dtype=np.float64), (float(i), float(j), float(k)), shape)


def lattice(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> tuple[int, int, int]:
    """How many control points a view needs along each axis.

    Args:
        shape: voxels of the view.
        spacing: view voxels between control points.

    Example:
        >>> lattice((9, 10, 1), (4.0, 4.0, 4.0))
        (5, 6, 4)
    """
    if not all(np.isfinite(step) and step > 0 for step in spacing):
        raise ValueError(f"spacing must be above 0, got {spacing}")
    # a hair more than a whole number of distances is that number, come through rounding
    i, j, k = (max(1, int(np.ceil((n - 1) / step - 1e-9))) + 3 for n, step in zip(shape, spacing, strict=True))
    return i, j, k


def _weights(index: Array, n: int, spacing: float) -> tuple[NDArray[np.int32], Array]:
    count = lattice((n, n, n), (spacing,) * 3)[0]
    place = np.clip((index - (n - 1) / 2) / spacing + (count - 1) / 2, 1.0, count - 2.0)
    first = np.minimum(np.floor(place), count - 3).astype(np.int32)
    t = place - first
    parts = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return first - 1, np.stack(parts) / 6
