"""Predictions from the store's grid into the scan's own geometry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.volume import Volume


def to_label_map(
    probabilities: NDArray[np.float32],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    target: NDArray[np.float64],
) -> Volume:
    """The most probable class of every voxel of another grid.

    Each class's probability is interpolated linearly and the largest is taken, so that borders between classes lie
    where they lay. Beyond the outermost voxel centres the edge is repeated.

    Args:
        probabilities: ``(K, i, j, k)``, class 0 first.
        affine: their voxel index to RAS millimetres.
        shape: voxels of the scan's own grid.
        target: its affine.

    Returns:
        A uint8 (uint16 for more than 256 classes) label map with the affine ``target``.

    Example:
        >>> p = np.zeros((2, 2, 2, 2), np.float32); p[1, 1] = 1; p[0, 0] = 1
        >>> to_label_map(p, np.diag([2.0, 2, 2, 1]), (4, 2, 2), np.diag([1.0, 2, 2, 1])).data[0, :, 0, 0].tolist()
        [0, 0, 1, 1]
    """
    kind = np.uint8 if len(probabilities) <= 256 else np.uint16
    best = _onto(probabilities[0], affine, shape, target)
    label = np.zeros(shape, dtype=kind)
    # class by class, so that the scan's own grid is held twice, not K times
    for value in range(1, len(probabilities)):
        here = _onto(probabilities[value], affine, shape, target)
        better = here > best
        label[better] = value
        np.maximum(best, here, out=best)
    return Volume(label[None], target)


def with_values(label: Volume, values: Mapping[int, int]) -> Volume:
    """A label map whose class numbers are replaced by the data set's own label values."""
    most = max(values.values(), default=0)
    table = np.zeros(int(label.data.max()) + 1, dtype=np.uint8 if most < 256 else np.uint16)
    for number in range(len(table)):
        table[number] = values[number]
    return Volume(table[label.data], label.affine)


def volumes_ml(label: Volume, classes: Mapping[int, str]) -> dict[str, float]:
    """Volume of each named class but 0, in millilitres.

    Example:
        >>> volumes_ml(Volume(np.ones((1, 10, 10, 10), np.uint8), np.eye(4)), {0: "background", 1: "liver"})
        {'liver': 1.0}
    """
    voxel = abs(float(np.linalg.det(label.affine[:3, :3]))) / 1000
    counts = np.bincount(label.data.ravel(), minlength=max(classes, default=0) + 1)
    return {name: round(float(counts[value]) * voxel, 6) for value, name in classes.items() if value != 0}


def _onto(
    values: NDArray[np.float32], affine: NDArray[np.float64], shape: tuple[int, int, int], target: NDArray[np.float64]
) -> NDArray[np.float32]:
    from scipy.ndimage import affine_transform

    # the transform asks, for every voxel of the output, where it lies in the input
    to_input = np.linalg.inv(affine) @ target
    if shape == values.shape and np.allclose(to_input, np.eye(4), atol=1e-6):
        return values.copy()
    out: Any = affine_transform(
        values, to_input[:3, :3], to_input[:3, 3], output_shape=shape, order=1, mode="nearest", output=np.float32
    )
    found: NDArray[np.float32] = out
    return found
