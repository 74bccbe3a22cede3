"""A label map taken onto another grid by nearest neighbour, where someone asks for it."""

from __future__ import annotations

import numpy as np

from medssl.volume import Volume


def nearest_onto(label: Volume, like: Volume) -> Volume:
    """Each voxel of the scan gets the label of the label map's voxel nearest to its centre, 0 outside.

    A centre halfway between two voxels takes the one of the larger index.

    Args:
        label: ``(1, i, j, k)``, whole numbers.
        like: the scan.

    Returns:
        The map on the scan's grid, with the flag ``label_resampled``.

    Example:
        >>> label = Volume(np.arange(8, dtype=np.uint8).reshape(1, 2, 2, 2), np.diag([2.0, 2.0, 2.0, 1.0]))
        >>> scan = Volume(np.zeros((1, 2, 2, 2)), np.diag([2.0, 2.0, 2.0, 1.0]))
        >>> nearest_onto(label, scan).data.ravel().tolist()
        [0, 1, 2, 3, 4, 5, 6, 7]
    """
    steps = np.linalg.inv(label.affine) @ like.affine
    out = np.zeros((1, *like.shape), dtype=label.data.dtype)
    i, j = (np.arange(n, dtype=np.float64) for n in like.shape[:2])
    limits = np.array(label.shape)
    for k in range(like.shape[2]):
        at = [
            np.floor(np.round(steps[a, 0] * i[:, None] + steps[a, 1] * j + steps[a, 2] * k + steps[a, 3], 6) + 0.5)
            for a in range(3)
        ]
        inside = np.logical_and.reduce(
            [(place >= 0) & (place < limit) for place, limit in zip(at, limits, strict=True)]
        )
        index = tuple(place[inside].astype(np.int64) for place in at)
        out[0, :, :, k][inside] = label.data[0][index]
    return Volume(out, like.affine, (*label.flags, "label_resampled"), label.tags)
