"""Label points on the slices that a reduced manifest keeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from medssl.views.view import Scan


def class_points(scan: Scan) -> Mapping[int, NDArray[np.int64]]:
    """Label points by class, on kept slices alone; classes without any are left out.

    Example:
        >>> from medssl.store.kept import Kept
        >>> points = {1: np.array([[0, 0, 3], [0, 0, 4]]), 2: np.array([[0, 0, 2]])}
        >>> scan = Scan((8, 8, 8), np.eye(4), np.array([[0, 0, 0], [8, 8, 8]]), {}, points, kept=Kept(2, (4,)))
        >>> {value: found.tolist() for value, found in class_points(scan).items()}
        {1: [[0, 0, 4]]}
    """
    if scan.kept is None:
        return scan.label_points
    on = {value: np.isin(points[:, scan.kept.axis], scan.kept.positions) for value, points in scan.label_points.items()}
    return {value: points[on[value]] for value, points in scan.label_points.items() if on[value].any()}
