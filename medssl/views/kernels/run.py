"""From a block and a grid to the arrays that the compiled loops work on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medssl.views.block import Block, Places
from medssl.views.grid import Grid
from medssl.views.kernels.choice import compiled

Sampled = tuple[Tensor, Tensor, Tensor | None]


def interpolate(block: Block, grid: Grid, found: Places, into: tuple[Tensor, Tensor]) -> Sampled:
    """A view's image ``(C, i, j, k)``, valid ``(1, i, j, k)`` and label ``(1, i, j, k)`` or None.

    Args:
        block: stored voxels.
        grid: the view.
        found: where it lies in the block.
        into: memory of the image and of valid.
    """
    image, valid = into[0].numpy(), into[1][0].numpy()
    mask = np.empty((0, 0, 0) if block.label is None else grid.shape, np.int64)
    data, strides = flat(block.data)
    label, label_strides = (_NO_LABEL, _NO_STRIDES) if block.label is None else flat(block.label)
    _loops().interpolate(
        data,
        int(strides[0]),
        np.asarray(block.data.shape[1:], np.int64),
        strides[1:],
        label,
        label_strides[1:],
        np.ascontiguousarray(found.into),
        np.stack([found.least, found.most]),
        _spline(grid, found),
        np.stack(block.map_to_network()),
        image,
        valid,
        mask,
    )
    return *into, None if block.label is None else torch.from_numpy(mask)[None]


def copy(block: Block, turned: NDArray[Any], image: Tensor, inside: tuple[slice, slice, slice]) -> None:
    """Stored voxels into a part of a view's image.

    Args:
        block: for the map to the network's range.
        turned: ``(C, i, j, k)`` the voxels with axes exchanged and flipped as in the view.
        image: ``(C, i, j, k)`` float32, changed.
        inside: the part, of ``turned``'s shape.
    """
    against = [stride < 0 for stride in turned.strides]
    # memory runs upwards, and the copy against it where the view does
    upwards = turned[tuple(slice(None, None, -1 if back else 1) for back in against)]
    line, strides = flat(upwards)
    steps = np.where(against, -strides.astype(np.int64), strides)
    start = int(-((np.asarray(turned.shape) - 1) * steps)[against].sum())
    begin = np.asarray([part.start for part in inside], np.int64)
    count = np.asarray(turned.shape[1:], np.int64)
    _loops().copy(line, start, steps, np.stack(block.map_to_network()), begin, count, image.numpy())


def flat(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """An array's memory as one line, from its first number to its last, and its strides in numbers.

    A box of a memory map stays where it is: only what is sampled is ever read. Strides are of 32 bits where they can
    be, of 64 where a box holds more than 2³¹ numbers.

    Example:
        >>> line, strides = flat(np.arange(24).reshape(1, 2, 3, 4)[:, :, 1:, :2])
        >>> line.tolist()[:3], len(line), strides.tolist()
        ([4, 5, 6], 18, [24, 12, 4, 1])
    """
    size = array.itemsize
    if any(stride % size or stride < 0 for stride in array.strides) or not array.dtype.isnative:
        array = np.array(array, array.dtype.newbyteorder("="), order="C")
    strides = np.asarray(array.strides) // size
    span = int(((np.asarray(array.shape) - 1) * strides).sum()) + 1
    # never writeable: a memory map is not, and one type of argument is compiled once
    line = np.lib.stride_tricks.as_strided(np.asarray(array), (span,), (size,), writeable=False)
    return line, strides.astype(np.int32 if span < 2**31 else np.int64)


_NO_SPLINE = (
    np.empty((3, 0, 0, 0)),
    np.empty(0, np.int32),
    np.empty((4, 0)),
    np.empty((0, 0)),
    np.empty((0, 2), np.int64),
)
_NO_LABEL, _NO_STRIDES = np.zeros(1, np.uint8), np.zeros(4, np.int32)
_NO_LABEL.flags.writeable = False


def _spline(grid: Grid, found: Places) -> tuple[NDArray[Any], ...]:
    """Control points; first point and weights along i and j; weights along k and which voxels each point reaches."""
    if grid.warp is None or found.control is None:
        return _NO_SPLINE
    (i, wi), (j, wj), (k, _) = (grid.warp.weights(axis) for axis in range(3))
    along = np.ascontiguousarray(grid.warp.matrix(2).T)
    number = np.arange(len(along))
    reach = np.stack([np.searchsorted(k, number - 3), np.searchsorted(k, number, side="right")], axis=1)
    return np.ascontiguousarray(found.control), np.concatenate([i, j]), np.concatenate([wi, wj], axis=1), along, reach


def _loops() -> Any:
    loops = compiled()
    if loops is None:
        raise RuntimeError("compilation of view kernels is turned off")
    return loops
