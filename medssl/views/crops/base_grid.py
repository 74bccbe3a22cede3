"""VoCo's base crops, random queries inside them, and the same boxes once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medssl.errors import RecipeError
from medssl.views.crops.contract import Drawn, check_shape, earlier
from medssl.views.grid import Array, Box, Grid, apply
from medssl.views.placing import Shape, crop_at, draw_edge
from medssl.views.view import Scan


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
        turned: whether flips, rotations, zoom and deformation are the earlier view's, too: voxel by voxel the same
            place. The views' own geometry comes on top.
    """

    role: str
    turned: bool = False

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Drawn) -> list[Grid]:
        """``count`` crops."""
        grids = earlier(self.role, drawn)
        if self.turned:
            return [grids[n % len(grids)] for n in range(count)]
        boxes = [grid.box for grid in grids]
        return [Grid.of(boxes[n % len(boxes)].shape, boxes[n % len(boxes)].affine) for n in range(count)]


def _span(boxes: Sequence[Box], frame: Array) -> tuple[Array, Array]:
    """The lowest and highest edge of boxes, in voxels of ``frame``."""
    back = np.linalg.inv(frame)
    corners = np.stack([apply(back, box.corners_mm()) for box in boxes])
    return np.round(corners.min(axis=(0, 1)), 6), np.round(corners.max(axis=(0, 1)), 6)
