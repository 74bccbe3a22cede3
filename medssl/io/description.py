"""What a file's header says of its volume, before any voxel is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Description:
    """A header's facts.

    Args:
        shape: voxels along i, j and k.
        channels: of one volume.
        volumes: how many volumes the file holds (4D); one of them is read at a time.
        dtype: as stored, before any scaling.
        affine: 4×4 to RAS millimetres.
        flags: as the reader gives them.
    """

    shape: tuple[int, int, int]
    channels: int
    volumes: int
    dtype: str
    affine: NDArray[np.float64]
    flags: tuple[str, ...] = ()
