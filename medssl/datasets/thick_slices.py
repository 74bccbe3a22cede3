"""Thick slices out of thin ones, as a scanner makes a second series of the same acquisition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medssl.errors import UsageError
from medssl.volume import Volume


def thicken(volume: Volume, slices: int = 3) -> Volume:
    """The mean of every few neighbouring slices along k, each in the middle of those it is made of.

    Args:
        volume: any number type, which is kept; whole numbers are rounded. Slices left over at the end are dropped.
        slices: how many make one, 2 or more.

    Raises:
        UsageError: fewer than 2, or more than the volume has.

    Example:
        >>> thin = Volume(np.array([1, 2, 6, 5, 5, 8, 9]).reshape(1, 1, 1, 7), np.diag([1.0, 1.0, 2.0, 1.0]))
        >>> thick = thicken(thin)
        >>> thick.data.ravel().tolist(), thick.affine[2].tolist()
        ([3, 6], [0.0, 0.0, 6.0, 2.0])
    """
    count = volume.shape[2] // slices if slices > 0 else 0
    if slices < 2 or count < 1:
        raise UsageError(f"2 to {volume.shape[2]} slices can be made one, got {slices}")
    used: NDArray[np.float64] = volume.data[..., : count * slices].astype(np.float64)
    mean = used.reshape(*used.shape[:3], count, slices).mean(axis=-1)
    kind = volume.data.dtype
    data = (np.rint(mean) if kind.kind in "iu" else mean).astype(kind)
    step = np.diag([1.0, 1.0, float(slices), 1.0])
    step[2, 3] = (slices - 1) / 2
    return Volume(data, volume.affine @ step, volume.flags, dict(volume.tags))
