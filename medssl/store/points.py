"""Label points: a bounded sample of each class's voxels, so that crops can be centred on rare classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl import draws
from medssl.errors import InputError

PER_CLASS = 512


def label_points(label: NDArray[Any], seed: int, per_class: int = PER_CLASS) -> NDArray[np.int32]:
    """Up to ``per_class`` voxels of each class but 0, drawn without replacement.

    Args:
        label: ``(1, i, j, k)`` whole numbers, -1 where unknown.
        seed: the same seed gives the same points.
        per_class: most points of a class.

    Returns:
        ``(n, 4)`` rows of class, i, j, k, in the order of classes.

    Example:
        >>> label = np.zeros((1, 2, 2, 2), dtype=np.uint8); label[0, 1, 0, 1] = 7
        >>> label_points(label, 0).tolist()
        [[7, 1, 0, 1]]
    """
    flat = label[0].ravel()
    # -1 is no class: nobody has said what the voxel is
    filled = np.flatnonzero(flat > 0)
    # a stable sort by class groups the voxels; looking for each class by itself would read the map once per class
    order = filled[np.argsort(flat[filled], kind="stable")]
    classes, starts = np.unique(flat[order], return_index=True)
    rows = []
    for value, group in zip(classes, np.split(order, starts[1:]), strict=False):
        rng = draws.generator(seed, draws.SAMPLE, int(value))
        taken = group if len(group) <= per_class else np.sort(rng.choice(group, per_class, replace=False))
        place = np.stack(np.unravel_index(taken, label.shape[1:]), axis=1)
        rows.append(np.column_stack([np.full(len(taken), value), place]))
    return np.concatenate(rows).astype(np.int32) if rows else np.zeros((0, 4), dtype=np.int32)


def small_labels(label: NDArray[Any]) -> NDArray[Any]:
    """A label map in the smallest type that holds it: unsigned, or int16 where some voxels are unknown (-1).

    Raises:
        InputError: values that are not whole numbers from -1 to 65,535, or to 32,767 with unknown voxels.
    """
    if label.shape[0] != 1:
        raise InputError(f"a label map has one channel, got {label.shape[0]}", code="label")
    least, most = label.min(), label.max()
    if label.dtype.kind not in "iub" and not bool((label == np.rint(label)).all()):
        raise InputError("label values must be whole numbers", code="label")
    if least < -1 or most > (65535 if least >= 0 else 32767):
        raise InputError(f"label values must lie from -1 (unknown) to 65535, got {least} to {most}", code="label")
    if least < 0:
        return label.astype(np.int16)
    return label.astype(np.uint8 if most < 256 else np.uint16)
