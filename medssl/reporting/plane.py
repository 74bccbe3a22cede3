"""The three planes of a scan as one looks at them: radiological convention, true proportions in millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import UsageError
from medssl.volume import Volume, reorient, spacing_of

CT_WINDOW = (-200.0, 300.0)
"""HU from black to white for soft tissue."""


@dataclass(frozen=True)
class Plane:
    """How a plane is looked at.

    Args:
        name: ``axial``, ``coronal`` or ``sagittal``.
        normal: the RAS axis that it cuts.
        across: the RAS axis from right to left of the picture.
        up: the RAS axis from bottom to top of the picture.
        letters: what is seen at the left, right, upper and lower edge.
    """

    name: str
    normal: int
    across: int
    up: int
    letters: str

    def cut(self, data: NDArray[Any], index: int) -> NDArray[Any]:
        """The slice ``(rows, columns)`` at an index of RAS voxels ``(i, j, k)``."""
        picture: NDArray[Any] = np.take(data, index, axis=self.normal).T[::-1, ::-1]
        return picture

    def project(self, data: NDArray[Any], how: str = "mean") -> NDArray[Any]:
        """The whole scan seen through, by ``mean`` or ``max``."""
        through = data.max(axis=self.normal) if how == "max" else data.mean(axis=self.normal)
        picture: NDArray[Any] = through.T[::-1, ::-1]
        return picture

    def place(self, shape: tuple[int, int, int], index: NDArray[Any]) -> NDArray[np.float64]:
        """Pixels from the left and upper edges of RAS voxel indices ``(n, 3)``; voxel centres lie at halves.

        Example:
            >>> AXIAL.place((10, 20, 5), np.array([[9, 19, 0]])).tolist()
            [[0.5, 0.5]]
        """
        points = np.asarray(index, dtype=np.float64)
        return np.stack([shape[a] - 0.5 - points[:, a] for a in (self.across, self.up)], axis=1)

    def size_mm(self, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> tuple[float, float]:
        """Width and height of the picture in millimetres."""
        return shape[self.across] * spacing[self.across], shape[self.up] * spacing[self.up]


AXIAL = Plane("axial", 2, 0, 1, "RLAP")
CORONAL = Plane("coronal", 1, 0, 2, "RLSI")
SAGITTAL = Plane("sagittal", 0, 1, 2, "APSI")
PLANES = (AXIAL, CORONAL, SAGITTAL)


def upright(array: NDArray[Any], affine: NDArray[Any]) -> Volume:
    """A scan ``(i, j, k)`` or ``(C, i, j, k)`` with its axes flipped and permuted to RAS; the first channel is kept.

    Example:
        >>> upright(np.zeros((2, 3, 4)), np.diag([-1.0, 1.0, 1.0, 1.0])).orientation
        'RAS'
    """
    data = np.asarray(array)
    if data.ndim not in (3, 4):
        raise UsageError(f"a scan to draw has 3 or 4 dimensions, got shape {data.shape}")
    return reorient(Volume(data[None] if data.ndim == 3 else data[:1], np.asarray(affine, dtype=np.float64)))


def best_plane(volume: Volume) -> Plane:
    """The plane in which the scan is sharpest: across its largest spacing; axial where all are alike."""
    spacing = spacing_of(volume.affine)
    widest = max(range(3), key=lambda axis: (round(spacing[axis] / min(spacing), 1), axis))
    return next(plane for plane in PLANES if plane.normal == widest)


def grey_window(data: NDArray[Any], modality: str = "") -> tuple[float, float]:
    """The values shown as black and white: a soft-tissue window for CT in HU, else the range of the foreground."""
    values = np.asarray(data, dtype=np.float32)
    finite = values[np.isfinite(values)][:: max(1, values.size // 200_000)]
    if finite.size == 0:
        return 0.0, 1.0
    if modality.upper() == "CT" and finite.min() < -300:
        return CT_WINDOW
    low, high = float(np.percentile(finite, 0.5)), float(finite.max())
    inside = finite[finite > low + 0.02 * (high - low)]
    if inside.size:
        high = float(np.percentile(inside, 99.5))
    return (low, high) if high > low else (low, low + 1.0)


def to_grey(data: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Values as 8-bit grey; what is not finite is black.

    Example:
        >>> to_grey(np.array([[-1.0, 0.5, 2.0, np.nan]]), (0.0, 1.0)).tolist()
        [[0, 128, 255, 0]]
    """
    low, high = window
    scaled = (np.asarray(data, dtype=np.float32) - low) / max(high - low, 1e-12)
    grey: NDArray[np.uint8] = np.rint(
        np.clip(np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0), 0, 1) * 255
    ).astype(np.uint8)
    return grey
