"""A prepared image on another scan's grid, slab by slab."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

EDGE = 1e-4
"""Voxels by which a centre may pass the image's edge through rounding and still be inside."""


def on_grid(
    image: NDArray[np.float32], into: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Trilinear interpolation, the edge repeated for half a voxel, as views are sampled in training.

    Args:
        image: ``(C, i, j, k)``.
        into: 4×4, voxel index of the new grid to voxel index of the image.
        shape: of the new grid.

    Returns:
        Values ``(C, *shape)`` float32, and where they are inside the image, ``(1, *shape)``.

    Example:
        >>> image = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)
        >>> shift = np.eye(4); shift[0, 3] = 0.5
        >>> values, inside = on_grid(image, shift, (4, 1, 1))
        >>> values.ravel().tolist(), inside.ravel().tolist()
        ([0.5, 1.5, 2.5, 3.0], [True, True, True, True])
    """
    out = np.empty((len(image), *shape), dtype=np.float32)
    inside = np.empty((1, *shape), dtype=np.bool_)
    j, k = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    size = np.asarray(image.shape[1:], dtype=np.float64).reshape(3, 1, 1)
    for i in range(shape[0]):
        at = np.stack([into[axis, 0] * i + into[axis, 1] * j + into[axis, 2] * k + into[axis, 3] for axis in range(3)])
        inside[0, i] = ((at >= -0.5 - EDGE) & (at <= size - 0.5 + EDGE)).all(axis=0)
        for channel, values in enumerate(image):
            map_coordinates(values, at, output=out[channel, i], order=1, mode="nearest", prefilter=False)
    return out, inside
