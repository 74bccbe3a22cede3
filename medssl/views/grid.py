"""A view's grid: the one map from view voxels to millimetres, and what follows from it by arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.views.warp import Warp

Array = NDArray[np.float64]

INVERTED = 1e-5
"""Voxels of change below which the iteration of ``Grid.from_mm`` ends; what is left is at most ten times that."""

INVERSIONS = 200
"""Steps of that iteration at most: each shrinks the error by a tenth or more (``medssl.views.warp.LARGEST``)."""


@dataclass(frozen=True, eq=False)
class Box:
    """The place a crop was taken from, before flips, rotation and deformation.

    Args:
        affine: 4×4, voxel index of the crop to RAS millimetres.
        shape: voxels along i, j and k. The box reaches half a voxel beyond the outer voxel centres.
    """

    affine: Array
    shape: tuple[int, int, int]

    def corners_mm(self) -> Array:
        """The two opposite corners ``(2, 3)``, in millimetres."""
        low = np.array([-0.5, -0.5, -0.5])
        high = np.asarray(self.shape) - 0.5
        return apply(self.affine, np.stack([low, high]).astype(np.float64))

    def to_numbers(self) -> Array:
        """The box as 15 float64 numbers (12 of the affine, 3 of the shape), for batching."""
        return np.concatenate([self.affine[:3].ravel(), np.asarray(self.shape, dtype=np.float64)])


@dataclass(frozen=True, eq=False)
class Grid:
    """Where each voxel of a view lies in the body.

    Args:
        shape: voxels along i, j and k.
        affine: 4×4 float64, view voxel index to RAS millimetres: crop, zoom, flip, rotation, scale and
            anisotropy in one.
        box: the place before flips and rotation; it says where, not how it is turned.
        warp: elastic deformation: displacements in millimetres, added after the affine.

    Raises:
        ValueError: the affine is not finite, or the deformation is of another shape.
    """

    shape: tuple[int, int, int]
    affine: Array
    box: Box
    warp: Warp | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.affine).all():
            raise ValueError("a grid's affine must be finite")
        if self.warp is not None and self.warp.shape != tuple(self.shape):
            raise ValueError(f"the deformation must be of shape {self.shape}, got {self.warp.shape}")

    @classmethod
    def of(cls, shape: tuple[int, int, int], affine: Array) -> Grid:
        """A plain grid that is its own box.

        Example:
            >>> grid = Grid.of((2, 2, 2), np.diag([2.0, 2.0, 2.0, 1.0]))
            >>> grid.to_mm(np.array([[1.0, 0.0, 0.0]])).tolist()
            [[2.0, 0.0, 0.0]]
        """
        affine = np.asarray(affine, dtype=np.float64)
        return cls(shape, affine, Box(affine, shape))

    @cached_property
    def displacement(self) -> NDArray[np.float32] | None:
        """``(3, i, j, k)`` float32 millimetres that are added after the affine, or None; computed when asked for."""
        return None if self.warp is None else self.warp.field().astype(np.float32)

    def to_mm(self, index: NDArray[Any]) -> Array:
        """Millimetres of view voxel indices ``(N, 3)``, which may be fractional."""
        mm = apply(self.affine, index)
        return mm if self.warp is None else mm + self.warp.at(index)

    def from_mm(self, mm: NDArray[Any]) -> Array:
        """View voxel indices ``(N, 3)`` of millimetres; under a deformation to 1e-4 voxels, by iteration.

        Raises:
            ValueError: the deformation folds, so that there is no one answer (see ``Warp.bounded``).
        """
        back = np.linalg.inv(self.affine)
        start = apply(back, mm)
        if self.warp is None:
            return start
        index = start
        for _ in range(INVERSIONS):
            after = start - self.warp.at(index) @ back[:3, :3].T
            change = float(np.abs(after - index).max(initial=0.0))
            index = after
            if change < INVERTED:
                return index
        raise ValueError("the deformation has no inverse: its control points lie too far from their places")

    def then(self, inner: Array) -> Grid:
        """The grid after a 4×4 map of view voxel index to view voxel index (flip, rotation, scale); the box stays.

        Raises:
            ValueError: after a deformation, for anything but flips and quarter turns about the view's centre.
        """
        if self.warp is None:
            return Grid(self.shape, self.affine @ inner, self.box)
        turn = np.rint(inner[:3, :3])
        axes = tuple(int(axis) for axis in np.abs(turn).argmax(axis=0))
        shape = tuple(self.shape[axis] for axis in axes)
        if shape != tuple(self.shape) or np.abs(inner - about_centre(turn, self.shape)).max() > 1e-9:
            raise ValueError("only flips and quarter turns about the centre may follow a deformation")
        if sorted(axes) != [0, 1, 2]:
            raise ValueError("only flips and quarter turns about the centre may follow a deformation")
        signs = tuple(int(turn[axis, view]) for view, axis in enumerate(axes))
        return Grid(self.shape, self.affine @ inner, self.box, self.warp.turned(axes, signs))

    def warped(self, warp: Warp | None) -> Grid:
        """The grid with a deformation in the place of the one it has."""
        return Grid(self.shape, self.affine, self.box, warp)


def apply(affine: NDArray[Any], points: NDArray[Any]) -> Array:
    """Points ``(N, 3)`` through a 4×4."""
    out: Array = np.asarray(points, dtype=np.float64) @ affine[:3, :3].T + affine[:3, 3]
    return out


def about_centre(matrix: NDArray[Any], shape: tuple[int, int, int]) -> Array:
    """A 3×3 map of voxel indices as a 4×4 that leaves the view's centre where it is."""
    centre = (np.asarray(shape, dtype=np.float64) - 1) / 2
    out = np.eye(4)
    out[:3, :3] = matrix
    out[:3, 3] = centre - np.asarray(matrix, dtype=np.float64) @ centre
    return out


def overlap_share(a: Box, b: Box) -> float:
    """Share of box ``a``'s volume that lies in box ``b``, for boxes with parallel edges.

    Raises:
        ValueError: the edges are not parallel.

    Example:
        >>> a = Box(np.eye(4), (4, 4, 4))
        >>> shifted = np.eye(4); shifted[0, 3] = 2.0
        >>> overlap_share(a, Box(shifted, (4, 4, 4)))
        0.5
    """
    inner = np.linalg.inv(a.affine) @ b.affine
    matrix = inner[:3, :3]
    if (np.abs(matrix) > 1e-6 * np.abs(matrix).max()).sum() != 3:
        raise ValueError("the boxes' edges are not parallel")
    ends = apply(inner, np.stack([np.full(3, -0.5), np.asarray(b.shape) - 0.5]))
    low = np.maximum(ends.min(axis=0), -0.5)
    high = np.minimum(ends.max(axis=0), np.asarray(a.shape) - 0.5)
    return float(np.prod(np.clip(high - low, 0.0, None) / np.asarray(a.shape)))
