"""A scan's signature: hashes at fixed positions through the body, the same however finely it was sampled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.reduction.dhash import Hashes, axial, dhash, hamming, picture, robust_window, to_8bit
from medssl.volume import Volume

POSITIONS = 32
"""Slices of a signature along each axis of the body."""

SHIFT = 1
"""Positions by which two signatures may slide against each other: a body box can be cut a little differently."""

_AIR = 0.1
"""Share of the window below which a voxel counts as outside the body."""

_SPARSE = 0.05
"""Share of the fullest slice's body voxels below which a slice lies outside the body box."""


@dataclass(frozen=True, eq=False)
class Signature:
    """What a scan looks like, small enough to compare with every other.

    Args:
        hashes: ``(3, POSITIONS)`` uint64: sagittal, coronal and axial planes through the body box, from left to
            right, back to front and feet to head.
        digest: of every voxel and the spacing, for scans that are equal voxel by voxel.
    """

    hashes: Hashes
    digest: str


def signature(volume: Volume) -> Signature:
    """The signature of a scan.

    The scan is turned to RAS without interpolation and windowed between its 0.5 and 99.5 percentiles; the planes
    lie at fixed shares of the body box, each a linear mix of the two nearest.

    Args:
        volume: any orientation; its first channel is used.
    """
    turned = axial(volume)
    data = turned.data[0]
    low, high = robust_window(data)
    box = body_box(data, low, high)
    body = data[box]
    hashes = np.zeros((3, POSITIONS), np.uint64)
    for axis in range(3):
        for number, plane in enumerate(_planes(body, axis)):
            hashes[axis, number] = dhash(to_8bit(picture(plane), low, high))
    return Signature(hashes, _digest(turned))


def body_box(data: NDArray[Any], low: float, high: float) -> tuple[slice, slice, slice]:
    """Where the body lies: voxels above a tenth of the window, nearly empty outer slices left out.

    Example:
        >>> data = np.zeros((6, 6, 6)); data[1:4, 2:5, 3:] = 100
        >>> body_box(data, 0, 100)
        (slice(1, 4, None), slice(2, 5, None), slice(3, 6, None))
    """
    inside = data > low + _AIR * (high - low)
    box = []
    for axis in range(3):
        count = inside.sum(axis=tuple(other for other in range(3) if other != axis))
        full = np.flatnonzero(count > _SPARSE * count.max())
        box.append(slice(int(full[0]), int(full[-1]) + 1) if full.size else slice(0, data.shape[axis]))
    return box[0], box[1], box[2]


def scan_distance(one: Signature, other: Signature) -> float:
    """How many of 64 bits differ between two scans, 0 to 64.

    For each body axis the planes at the same position are compared, sliding the signatures by up to ``SHIFT``
    positions, and the median over positions is taken for the best slide; the result is the largest of the three
    axes, so that scans are near only if they are alike in all three planes.
    """
    return max(_axis_distance(a, b) for a, b in zip(one.hashes, other.hashes, strict=True))


def _axis_distance(one: Hashes, other: Hashes) -> float:
    best = 64.0
    for shift in range(-SHIFT, SHIFT + 1):
        a = one[max(shift, 0) : POSITIONS + min(shift, 0)]
        b = other[max(-shift, 0) : POSITIONS + min(-shift, 0)]
        best = min(best, float(np.median(hamming(a, b))))
    return best


def _planes(body: NDArray[Any], axis: int) -> list[NDArray[Any]]:
    """Planes at the middles of ``POSITIONS`` equal parts of an axis."""
    count = body.shape[axis]
    at = np.clip((np.arange(POSITIONS) + 0.5) / POSITIONS * count - 0.5, 0, count - 1)
    below = np.floor(at).astype(int)
    above = np.minimum(below + 1, count - 1)
    share = (at - below).astype(np.float32)
    planes = np.moveaxis(body, axis, 0)
    return [
        planes[a].astype(np.float32) * (1 - s) + planes[b].astype(np.float32) * s
        for a, b, s in zip(below, above, share, strict=True)
    ]


def _digest(volume: Volume) -> str:
    """One text for equal voxels at equal spacing, whatever the file format and number type."""
    spacing = np.round(volume.spacing_mm, 4)
    voxels = np.ascontiguousarray(volume.data[0], dtype=np.float32)
    state = hashlib.blake2b(digest_size=16)
    state.update(np.asarray([*volume.shape, *spacing], dtype=np.float64).tobytes())
    state.update(voxels.tobytes())
    return state.hexdigest()
