"""How high in the body a crop lies: arithmetic on its box and the scan's geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medssl.store.store import Store
from medssl.volume import axes_of

HEIGHT = "height"
"""The target that needs no column: which part of the body, from feet to head, a crop's centre lies in."""

_FEET_TO_HEAD = 2


@dataclass(frozen=True, eq=False)
class Body:
    """Where a scan's body lies along the axis from feet to head.

    Args:
        row: ``(4,)``; its product with ``(x, y, z, 1)`` in millimetres is the place along the axis, in voxels.
        low: place of the body's lower end.
        high: place of its upper end.
    """

    row: NDArray[np.float64]
    low: float
    high: float


Bodies = Mapping[int, Body]
"""Record id → its body."""


def body_of(affine: NDArray[np.float64], body: NDArray[np.int64]) -> Body:
    """The body's ends along the stored axis nearest to feet-to-head.

    Args:
        affine: stored voxel index to RAS millimetres.
        body: ``(2, 3)`` first and one past the last voxel of the body.
    """
    axes = axes_of(affine)
    axis = next(n for n in range(3) if axes[n][0] == _FEET_TO_HEAD)
    row = np.linalg.inv(affine)[axis]
    ends = body[0, axis] - 0.5, body[1, axis] - 0.5
    # where the axis runs from head to feet, the row is turned round
    return Body(row, *ends) if axes[axis][1] > 0 else Body(-row, -ends[1], -ends[0])


def bodies_of(store: Store) -> dict[int, Body]:
    """The body of every scan of a store, by record id."""
    out = {}
    for position in range(len(store)):
        voxels = store.entry(position).voxels
        out[store.ids(position)["record"]] = body_of(voxels.affine, voxels.body)
    return out


def region_of(box: NDArray[np.float64], body: Body, regions: int) -> int:
    """The part, counted from the feet, that the centre of a box lies in; beyond the ends, the outermost part.

    Args:
        box: 15 numbers, ``Box.to_numbers``.
        body: of the scan.
        regions: how many equal parts.

    Example:
        >>> body = body_of(np.eye(4), np.array([[0, 0, 0], [10, 10, 40]]))
        >>> from medssl.views.grid import Box
        >>> shifted = np.eye(4); shifted[2, 3] = 25.0
        >>> region_of(Box(shifted, (2, 2, 2)).to_numbers(), body, 4)
        2
    """
    affine, shape = box[:12].reshape(3, 4), box[12:]
    centre = affine[:, :3] @ ((shape - 1) / 2) + affine[:, 3]
    share = (float(body.row @ np.append(centre, 1.0)) - body.low) / (body.high - body.low)
    return int(np.clip(np.floor(share * regions), 0, regions - 1))


def region_names(regions: int) -> tuple[str, ...]:
    """Names of the parts, feet first.

    Example:
        >>> region_names(2)
        ('part 1 of 2', 'part 2 of 2')
    """
    return tuple(f"part {number} of {regions}" for number in range(1, regions + 1))
