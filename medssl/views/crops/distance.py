"""Pairs of crops whose distance follows a law: near ones often, far ones seldom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.contract import Drawn, check_scale, check_shape
from medssl.views.grid import Array, Grid
from medssl.views.placing import TRIES, Shape, body_share, crop_at, draw_edge, draw_in_body, uniform_scale
from medssl.views.view import Scan


@dataclass(frozen=True)
class AtDistance:
    """Pairs of crops of one scan; along each axis their distance t has the density (1 − (t/M)^a) · (a + 1)/(aM).

    The law of CVRL (Qian et al., CVPR 2021, arXiv 2008.03800) for a video's clips, carried to the three axes of a
    scan. M is the longest distance that the scan has room for, or that ``reach_mm`` allows. The nearer crop's place
    is uniform, the order is shuffled. At the stored voxel size both crops begin on whole voxels.

    Args:
        shape: voxels of a view.
        power: a. 1 falls in a straight line; the larger, the more far pairs.
        reach_mm: longest distance along each axis, or None for all that the scan has room for.
        scale: smallest and largest length that a pair covers, in stored voxels per view voxel.
        body_share: as in ``RandomCrop``, for the first crop of a pair.
    """

    shape: Shape
    power: float = 1.0
    reach_mm: tuple[float, float, float] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    body_share: float = 0.3

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale(self.scale)
        if not self.power > 0:
            raise RecipeError(f"power must be above 0, got {self.power}")
        if self.reach_mm is not None and (len(self.reach_mm) != 3 or min(self.reach_mm) < 0):
            raise RecipeError(f"reach_mm must be three lengths of 0 or more, got {self.reach_mm}")
        if not 0 <= self.body_share <= 1:
            raise RecipeError(f"body_share must be in [0, 1], got {self.body_share}")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count / 2`` pairs, the two of a pair one after the other.

        Raises:
            RecipeError: the count is odd.
        """
        if count % 2:
            raise RecipeError(f"a role of pairs has an even number of views, got {count}")
        return [grid for _ in range(count // 2) for grid in self._pair(scan, rng)]

    def _pair(self, scan: Scan, rng: np.random.Generator) -> list[Grid]:
        step = np.full(3, uniform_scale(self.scale, rng))
        extent = np.asarray(self.shape) * step
        room = np.maximum(np.asarray(scan.shape) - extent, 0.0)
        for _ in range(TRIES):
            edges = self._edges(scan, room, rng)
            if body_share(scan, edges[0], extent) >= self.body_share:
                break
        else:
            # the pair is moved together, as far as the other crop stays in the scan
            onto = draw_in_body(scan, self.shape, step, self.body_share, rng)
            edges = np.clip(edges + (onto - edges[0]), 0.0, room)
        # along an axis without room both lie where a crop of its own would
        alone = draw_edge(scan, self.shape, step, rng)
        edges = np.where(room > 0, edges, alone)
        if step[0] == 1.0:
            edges = np.where(room > 0, np.clip(np.rint(edges), 0, np.floor(room)), edges)
        return [crop_at(scan, edge, step, self.shape) for edge in edges]

    def _edges(self, scan: Scan, room: Array, rng: np.random.Generator) -> Array:
        reach = room if self.reach_mm is None else np.minimum(room, np.asarray(self.reach_mm) / _spacing(scan))
        apart = np.array([distance_law(float(rng.random()), float(m), self.power) for m in reach])
        near = rng.random(3) * (room - apart)
        first = rng.random(3) < 0.5
        return np.stack([np.where(first, near, near + apart), np.where(first, near + apart, near)])


def distance_law(chance: float, longest: float, power: float = 1.0) -> float:
    """The distance whose share of nearer ones is ``chance``: the inverse of ((a+1) x − x^(a+1)) / a, times M.

    Args:
        chance: in [0, 1].
        longest: M.
        power: a.

    Example:
        >>> round(distance_law(0.75, 10.0), 6), distance_law(1.0, 10.0), distance_law(0.0, 10.0)
        (5.0, 10.0, 0.0)
    """
    if power == 1.0:
        return float(longest * (1 - np.sqrt(1 - chance)))
    low, high = 0.0, 1.0
    # the law rises strictly: 60 halvings reach the last bit of float64
    for _ in range(60):
        middle = (low + high) / 2
        share = ((power + 1) * middle - middle ** (power + 1)) / power
        low, high = (middle, high) if share < chance else (low, middle)
    return float(longest * high) if chance > 0 else 0.0


def _spacing(scan: Scan) -> Array:
    out: Array = np.linalg.norm(scan.affine[:3, :3], axis=0)
    return out
