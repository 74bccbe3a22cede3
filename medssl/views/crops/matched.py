"""Crops of one patient where those of another lie: the same anatomy, as far as a matcher can tell."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.contract import Drawn, check_scale, check_shape, earlier
from medssl.views.grid import Grid, apply
from medssl.views.matching.body_box import BodyBox
from medssl.views.matching.contract import Matcher
from medssl.views.placing import Shape, around, crop_at, uniform_scale
from medssl.views.view import Scan


@dataclass(frozen=True)
class Matched:
    """A crop for each view of an earlier role, around the place that corresponds to the view's middle.

    The role takes another scan of the sample than the earlier one (``Role.record``). Where the matcher finds no
    place the crop lies at the same position within the body's box.

    Args:
        role: the earlier role.
        shape: voxels of a view.
        matcher: says where a point of one scan lies in another.
        scale: smallest and largest length that it covers, in stored voxels per view voxel.
        jitter_mm: largest shift along each axis, uniform.
    """

    role: str
    shape: Shape
    matcher: Matcher = field(default_factory=BodyBox)
    scale: tuple[float, float] = (1.0, 1.0)
    jitter_mm: float = 0.0

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale(self.scale)
        if not self.jitter_mm >= 0:
            raise RecipeError(f"jitter_mm must be 0 or more, got {self.jitter_mm}")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops, the partners of the earlier views in turn; moved into the scan where they fit there.

        Raises:
            RecipeError: the earlier role is unknown.
        """
        first = earlier(self.role, drawn)
        source = scan.others.get(self.role, scan)
        out = []
        for number in range(count):
            step = np.full(3, uniform_scale(self.scale, rng))
            middle = first[number % len(first)].box.corners_mm().mean(axis=0)
            place = self.matcher.place(source, middle, scan)
            if place is None:
                place = BodyBox().place(source, middle, scan)
            shift = rng.uniform(-1.0, 1.0, 3) * self.jitter_mm
            point = apply(np.linalg.inv(scan.affine), (place + shift)[None])[0]
            edge = around(scan, np.rint(point).astype(np.int64), self.shape, step)
            out.append(crop_at(scan, edge, step, self.shape))
        return out
