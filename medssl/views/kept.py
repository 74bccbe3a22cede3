"""Kept slices on their way to the crop policies, which see a ``Scan`` and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from medssl.store.kept import Kept
from medssl.views.view import Scan

KEPT = -1
"""Key of ``Scan.label_points`` under which kept slices stand: no class has a negative value. Each row holds a
position on the axis through the slices and -1 on the two others."""


def kept_points(kept: Kept) -> NDArray[np.int64]:
    """Kept slices as rows for ``Scan.label_points[KEPT]``."""
    rows = np.full((len(kept.positions), 3), -1, dtype=np.int64)
    rows[:, kept.axis] = kept.positions
    return rows


def kept_of(scan: Scan) -> Kept | None:
    """The kept slices of a scan; None where every slice may be used."""
    rows = scan.label_points.get(KEPT)
    if rows is None or len(rows) == 0:
        return None
    axis = int(np.argmax(rows.max(axis=0)))
    return Kept(axis, tuple(int(position) for position in rows[:, axis]))


def class_points(scan: Scan) -> Mapping[int, NDArray[np.int64]]:
    """Label points by class, on kept slices alone; classes without any are left out.

    Example:
        >>> points = {KEPT: np.array([[-1, -1, 4]]), 1: np.array([[0, 0, 3], [0, 0, 4]]), 2: np.array([[0, 0, 2]])}
        >>> scan = Scan((8, 8, 8), np.eye(4), np.array([[0, 0, 0], [8, 8, 8]]), {}, points)
        >>> {value: found.tolist() for value, found in class_points(scan).items()}
        {1: [[0, 0, 4]]}
    """
    kept = kept_of(scan)
    out = {}
    for value, points in scan.label_points.items():
        if value != KEPT:
            found = points if kept is None else points[np.isin(points[:, kept.axis], kept.positions)]
            if len(found):
                out[value] = found
    return out
