"""Difference hashes of slices: 64 bits, each saying whether a pixel is brighter than its left neighbour.

Equal bit for bit to ``imagehash.dhash`` on 8-bit images, which "Less is More" uses (arXiv 2410.14524).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medssl.errors import UsageError
from medssl.volume import Volume, reorient

Hashes = NDArray[np.uint64]

_BITS = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def dhash(slice_2d: NDArray[np.uint8], size: int = 8) -> np.uint64:
    """The difference hash of one slice.

    Args:
        slice_2d: 8-bit grey values ``(rows, columns)``.
        size: the slice is shrunk to ``size`` rows and ``size + 1`` columns; at most 8.

    Returns:
        ``size²`` bits, the first (top left) the most significant.

    Raises:
        UsageError: not a 2D uint8 array, or ``size`` out of range.

    Example:
        >>> ramp = np.tile(np.arange(0, 180, 5, dtype=np.uint8), (32, 1))
        >>> hex(dhash(ramp)), hex(dhash(ramp[:, ::-1]))
        ('0xffffffffffffffff', '0x0')
    """
    if slice_2d.ndim != 2 or slice_2d.dtype != np.uint8:
        raise UsageError(f"a hash needs a 2D uint8 array, got {slice_2d.ndim}D {slice_2d.dtype}")
    if not 1 <= size <= 8:
        raise UsageError(f"the hash size must be in 1..8, got {size}")
    image = Image.fromarray(np.ascontiguousarray(slice_2d))
    small = np.asarray(image.resize((size + 1, size), Image.Resampling.LANCZOS))
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    packed = np.packbits(np.concatenate([np.zeros(64 - bits.size, dtype=bool), bits]))
    return np.uint64(int.from_bytes(packed.tobytes(), "big"))


def hamming(one: NDArray[np.uint64] | np.uint64, other: NDArray[np.uint64] | np.uint64) -> NDArray[np.int64]:
    """How many of 64 bits differ, elementwise with broadcasting.

    Example:
        >>> hamming(np.uint64(0b1011), np.array([0b1011, 0], dtype=np.uint64)).tolist()
        [0, 3]
    """
    differ = np.atleast_1d(np.bitwise_xor(one, other))
    counts: NDArray[np.int64] = _BITS[differ[..., None].view(np.uint8)].sum(axis=-1, dtype=np.int64)
    return counts


def to_8bit(data: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Grey values 0 to 255 of a window, clipped and rounded down; all 0 where the window is empty.

    Example:
        >>> to_8bit(np.array([-5.0, 0.0, 5.0, 10.0, 99.0]), 0, 10).tolist()
        [0, 0, 127, 255, 255]
    """
    if not high > low:
        return np.zeros(data.shape, np.uint8)
    scaled = (data.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    grey: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return grey


def robust_window(data: NDArray[Any]) -> tuple[float, float]:
    """The 0.5 and 99.5 percentiles of the voxels, from at most about a million of them."""
    step = max(1, round((data.size / 1e6) ** (1 / 3)))
    low, high = np.percentile(data[..., ::step, ::step, ::step], [0.5, 99.5])
    return float(low), float(high)


def axial(volume: Volume) -> Volume:
    """The volume with its slices along k, from feet to head (RAS), without interpolation."""
    return reorient(volume, "RAS")


def picture(plane: NDArray[Any]) -> NDArray[Any]:
    """An axial plane ``(i, j)`` of a RAS volume as rows and columns, front of the body on top."""
    return plane.T[::-1]


def hash_slices(volume: Volume, window: str | tuple[float, float] = "robust") -> Hashes:
    """The hash of every axial slice, from feet to head.

    Args:
        volume: any orientation; its first channel is hashed.
        window: ``"robust"`` (0.5 to 99.5 percentile of the volume), ``"slice"`` (minimum and maximum of each
            slice, as in the paper: one bright voxel can change the hash), or fixed low and high values.

    Returns:
        ``(K,)`` uint64. A constant slice has the hash 0.

    Raises:
        UsageError: an unknown window.
    """
    data = axial(volume).data[0]
    if isinstance(window, str) and window not in ("robust", "slice"):
        raise UsageError(f"a window is 'robust', 'slice' or two numbers, got {window!r}")
    whole = robust_window(data) if window == "robust" else window
    hashes = np.empty(data.shape[2], np.uint64)
    for k in range(data.shape[2]):
        plane = data[:, :, k]
        low, high = (plane.min(), plane.max()) if isinstance(whole, str) else whole
        hashes[k] = dhash(to_8bit(picture(plane), float(low), float(high)))
    return hashes
