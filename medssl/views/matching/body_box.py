"""The simplest matcher: the same relative position in the body's box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.views.grid import Array, apply
from medssl.views.view import Scan
from medssl.volume import axes_of


@dataclass(frozen=True)
class BodyBox:
    """A point goes to the same shares of the body's box, counted along right-left, back-front and feet-head.

    Good where the scans cover the same stretch of the body, as brains do, and a first guess elsewhere.
    """

    def place(self, source: Scan, point_mm: Array, target: Scan) -> Array:
        """The point of equal shares; outside the box where the source point is outside its own.

        Example:
            >>> a = Scan((8, 8, 8), np.eye(4), np.array([[0, 0, 0], [8, 8, 8]]), {})
            >>> b = Scan((8, 8, 8), np.diag([-2.0, 2.0, 2.0, 1.0]), np.array([[0, 0, 0], [8, 8, 4]]), {})
            >>> BodyBox().place(a, np.array([-0.5, 3.5, 7.5]), b).tolist()
            [-15.0, 7.0, 7.0]
        """
        index = apply(np.linalg.inv(source.affine), point_mm[None])[0] + 0.5
        low, high = source.body.astype(np.float64)
        share = (index - low) / np.maximum(high - low, 1.0)
        # shares by world axis, each counted towards its positive end
        world = np.empty(3)
        for axis, (to, sign) in enumerate(axes_of(source.affine)):
            world[to] = share[axis] if sign > 0 else 1 - share[axis]
        low, high = target.body.astype(np.float64)
        out = np.empty(3)
        for axis, (to, sign) in enumerate(axes_of(target.affine)):
            along = world[to] if sign > 0 else 1 - world[to]
            out[axis] = low[axis] + along * (high[axis] - low[axis]) - 0.5
        place: Array = apply(target.affine, out[None])[0]
        return place
