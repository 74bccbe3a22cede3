"""Crop policies: where the views of a role lie. They see a ``Scan`` and the grids drawn before; never voxels.

A reduced manifest's kept slices bind every policy that chooses a place by itself (``RandomCrop``, ``LabelWeighted``,
``BaseGrid``): the middle voxel of what it places lies on a kept slice (see ``placing.draw_edge``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medssl.errors import RecipeError
from medssl.views.grid import Array, Box, Grid, apply
from medssl.views.kept import class_points
from medssl.views.placing import Shape, around, crop_at, draw_edge, draw_in_body, uniform_scale
from medssl.views.view import Scan

Drawn = Mapping[str, Sequence[Grid]]


@dataclass(frozen=True)
class RandomCrop:
    """Uniform in the scan.

    Args:
        shape: voxels of a view.
        scale: smallest and largest length that it covers, in stored voxels per view voxel (1: no zoom).
        body_share: the least share of the crop that lies in the body's box, where the two sizes allow it: of a body
            smaller than the crop, the least share of the body.
    """

    shape: Shape
    scale: tuple[float, float] = (1.0, 1.0)
    body_share: float = 0.3

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale(self.scale)
        if not 0 <= self.body_share <= 1:
            raise RecipeError(f"body_share must be in [0, 1], got {self.body_share}")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops, each placed and zoomed by itself."""
        out = []
        for _ in range(count):
            step = np.full(3, uniform_scale(self.scale, rng))
            out.append(crop_at(scan, draw_in_body(scan, self.shape, step, self.body_share, rng), step, self.shape))
        return out


@dataclass(frozen=True)
class BaseGrid:
    """VoCo's base crops: adjacent cells that tile a region, first cell first along i, last along k (i slowest).

    Args:
        cells: cells along i, j and k; a role's ``count`` must be their product.
        cell_shape: voxels of each cell.
        fit: ``"crop"`` places the region, ``cells · cell_shape`` stored voxels, at random in the scan (centred and
            padded where the scan is smaller); ``"resize"`` stretches it over the whole scan, each axis by itself, as
            the paper resizes scans to one size.
    """

    cells: tuple[int, int, int] = (3, 3, 1)
    cell_shape: Shape = (64, 64, 64)
    fit: Literal["crop", "resize"] = "crop"

    def __post_init__(self) -> None:
        check_shape("cells", self.cells)
        check_shape("cell_shape", self.cell_shape)
        if self.fit not in ("crop", "resize"):
            raise RecipeError(f"fit must be crop or resize, got {self.fit!r}")

    @property
    def region(self) -> Shape:
        """Voxels of the whole region."""
        i, j, k = (int(a * b) for a, b in zip(self.cells, self.cell_shape, strict=True))
        return i, j, k

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """The cells of one region."""
        if count != int(np.prod(self.cells)):
            raise RecipeError(f"a role of {self.cells} cells has {int(np.prod(self.cells))} views, got {count}")
        if self.fit == "resize":
            step = np.asarray(scan.shape) / np.asarray(self.region)
            edge = np.zeros(3)
        else:
            step = np.ones(3)
            edge = draw_edge(scan, self.region, step, rng)
        size = np.asarray(self.cell_shape) * step
        return [
            crop_at(scan, edge + np.asarray(cell) * size, step, self.cell_shape) for cell in np.ndindex(*self.cells)
        ]


@dataclass(frozen=True)
class Within:
    """Uniform inside the box that an earlier role's views span together, at their voxel size.

    A crop begins on a whole voxel of theirs, so that base crops that are copies have queries that are copies. It is
    centred along an axis on which it is longer than the box.

    Args:
        role: the earlier role.
        shape: voxels of a view.
    """

    role: str
    shape: Shape

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops, each placed by itself."""
        boxes = [grid.box for grid in earlier(self.role, drawn)]
        frame = boxes[0].affine
        low, high = _span(boxes, frame)
        out = []
        for _ in range(count):
            room = high - low - np.asarray(self.shape)
            shift = [float(np.floor(r / 2)) if r < 1 else float(rng.integers(0, int(r) + 1)) for r in room]
            inner = np.eye(4)
            inner[:3, 3] = low + 0.5 + shift
            out.append(Grid.of(self.shape, frame @ inner))
        return out


@dataclass(frozen=True)
class Twin:
    """The same boxes as an earlier role's views, for other augmentations; in turn where there are more views.

    Args:
        role: the earlier role.
    """

    role: str

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops."""
        boxes = [grid.box for grid in earlier(self.role, drawn)]
        return [Grid.of(boxes[n % len(boxes)].shape, boxes[n % len(boxes)].affine) for n in range(count)]


@dataclass(frozen=True)
class LabelWeighted:
    """Often around a labelled voxel, so that small structures are seen.

    Args:
        shape: voxels of a view.
        share: chance that a view's middle voxel is a labelled one (moved where the crop would leave the scan): first
            a class, each as likely, then one of its points. Otherwise, and in a scan without labels, uniform.
        scale: as in ``RandomCrop``.
    """

    shape: Shape
    share: float = 0.66
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale(self.scale)
        if not 0 <= self.share <= 1:
            raise RecipeError(f"share must be in [0, 1], got {self.share}")

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops, each placed by itself."""
        points = class_points(scan)
        classes = sorted(points)
        out = []
        for _ in range(count):
            step = np.full(3, uniform_scale(self.scale, rng))
            if rng.random() < self.share and classes:
                of_class = points[classes[int(rng.integers(len(classes)))]]
                edge = around(scan, of_class[int(rng.integers(len(of_class)))], self.shape, step)
            else:
                edge = draw_edge(scan, self.shape, step, rng)
            out.append(crop_at(scan, edge, step, self.shape))
        return out


@dataclass(frozen=True)
class Centre:
    """The middle of the body's box, without chance; moved into the scan where it fits there.

    Args:
        shape: voxels of a view.
        scale: stored voxels per view voxel.
    """

    shape: Shape
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_shape("shape", self.shape)
        check_scale((self.scale, self.scale))

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """The same crop ``count`` times."""
        step = np.full(3, float(self.scale))
        return [crop_at(scan, around(scan, scan.body.sum(axis=0) // 2, self.shape, step), step, self.shape)] * count


def earlier(role: str, drawn: Drawn) -> Sequence[Grid]:
    """The grids of an earlier role.

    Raises:
        RecipeError: it has none, or is declared later.
    """
    grids = drawn.get(role)
    if not grids:
        raise RecipeError(f"the role {role!r} must be declared before, there are {sorted(drawn)}")
    return grids


def _span(boxes: Sequence[Box], frame: Array) -> tuple[Array, Array]:
    """The lowest and highest edge of boxes, in voxels of ``frame``."""
    back = np.linalg.inv(frame)
    corners = np.stack([apply(back, box.corners_mm()) for box in boxes])
    return np.round(corners.min(axis=(0, 1)), 6), np.round(corners.max(axis=(0, 1)), 6)


def check_shape(name: str, shape: tuple[int, int, int]) -> None:
    """Refuse a shape that is not three whole numbers above 0."""
    if len(shape) != 3 or any(int(n) != n or n < 1 for n in shape):
        raise RecipeError(f"{name} must be three whole numbers above 0, got {shape}")


def check_scale(scale: tuple[float, float]) -> None:
    """Refuse a zoom that is not two rising numbers above 0."""
    if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
        raise RecipeError(f"scale must be two rising numbers above 0, got {scale}")
