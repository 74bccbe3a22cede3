"""A label map onto the grid of its image, where both share one lattice: voxels are moved, never interpolated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.volume import Volume

TOLERANCE_VOXELS = 0.01
"""How far a voxel centre may lie from the image's before the two grids count as different."""


def onto_lattice(label: Volume, image: Volume, outside: int = 0) -> NDArray[Any]:
    """Labels ``(i, j, k)`` on the image's own grid.

    The label's axes may be flipped or exchanged and it may cover a part of the image only; its voxel centres
    must coincide with the image's.

    Args:
        label: one channel.
        image: the scan that the label belongs to.
        outside: the value where the label map says nothing.

    Raises:
        InputError: the two grids differ by more than flips, exchanged axes and whole voxels, or the label
            reaches beyond the image (code ``label``).

    Example:
        >>> image = Volume(np.zeros((1, 3, 1, 1)), np.eye(4))
        >>> flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
        >>> flipped[0, 3] = 2.0
        >>> onto_lattice(Volume(np.array([7, 8, 9]).reshape(1, 3, 1, 1), flipped), image).ravel().tolist()
        [9, 8, 7]
    """
    step = np.linalg.inv(image.affine) @ label.affine
    whole = np.rint(step).astype(int)
    far = np.abs(step - whole)
    reach = far[:3, :3] @ (np.asarray(label.shape) - 1) + far[:3, 3]
    turn = whole[:3, :3]
    if reach.max() > TOLERANCE_VOXELS or not np.array_equal(np.abs(turn) @ turn.T != 0, np.eye(3, dtype=bool)):
        raise InputError(
            f"the label's grid is not the image's: voxel centres differ by up to {reach.max():.3g} voxels", code="label"
        )
    axes = [int(np.flatnonzero(turn[row])[0]) for row in range(3)]
    data = label.data[0].transpose(axes)
    signs = [int(turn[row, axis]) for row, axis in enumerate(axes)]
    data = data[tuple(slice(None, None, sign) for sign in signs)]
    start = [
        int(whole[row, 3]) + (0 if s > 0 else 1 - n) for row, (s, n) in enumerate(zip(signs, data.shape, strict=True))
    ]
    stop = [a + n for a, n in zip(start, data.shape, strict=True)]
    if min(start) < 0 or any(b > n for b, n in zip(stop, image.shape, strict=True)):
        raise InputError(f"the label reaches beyond the image: voxels {start} to {stop} of {image.shape}", code="label")
    placed = np.full(image.shape, outside, dtype=data.dtype)
    placed[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = data
    return placed
