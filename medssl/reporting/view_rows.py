"""Views as they come out of the scan, after augmentation, and with what a mask hides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.reporting.canvas import Canvas, outlines
from medssl.reporting.page import Figure, Key, Picture
from medssl.reporting.palette import class_colours, readable
from medssl.reporting.plane import AXIAL, CORONAL, SAGITTAL, Plane, to_grey

TILE, GAP, HEAD = 300.0, 10.0, 44.0
"""User units of a tile's longer side, of the gap between tiles and of the line of text above them."""


@dataclass(frozen=True, eq=False)
class Shown:
    """One view to draw.

    Args:
        name: role and number.
        sampled: ``(C, i, j, k)`` before any augmentation.
        image: ``(C, i, j, k)`` as the network gets it.
        hidden: ``(draws, cells…)`` bool, or None.
        label: ``(1, i, j, k)`` integers, or None.
        spacing_mm: of its voxels.
    """

    name: str
    sampled: NDArray[np.float32]
    image: NDArray[np.float32]
    hidden: NDArray[np.bool_] | None = None
    label: NDArray[np.int64] | None = None
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)


def view_rows(views: Sequence[Shown], caption: str, classes: Mapping[int, str], most: int = 12) -> Figure | None:
    """A row of tiles for each view: sampled, augmented, and each draw of its mask; labels are outlined.

    Every channel has a line of its own. Grey runs from 0 to 1, the network's range.

    Args:
        views: drawn in order.
        caption: what is seen.
        classes: label value to name.
        most: views drawn at most.
    """
    shades = class_colours(classes[value] for value in sorted(classes))
    pictures = [Picture(_row(view, classes, shades), f"{view.name}: {caption}", view.name) for view in views[:most]]
    if not pictures:
        return None
    found = {int(v) for view in views[:most] if view.label is not None for v in np.unique(view.label)}
    keys = tuple(Key(readable(classes[v]), shades[classes[v]]) for v in sorted(classes) if v in found and v != 0)
    return Figure(tuple(pictures), caption, f"Views as sampled and as the network sees them: {caption}", keys, "wide")


def _row(view: Shown, classes: Mapping[int, str], shades: Mapping[str, str]) -> str:
    planes: tuple[Plane, ...] = (AXIAL,) if view.image.shape[3] == 1 else (AXIAL, CORONAL, SAGITTAL)
    tiles: list[tuple[str, NDArray[np.float32], NDArray[np.bool_] | None]] = [("sampled", view.sampled, None)]
    tiles.append(("augmented", view.image, None))
    draws = [] if view.hidden is None else list(view.hidden)
    tiles += [("masked" if len(draws) == 1 else f"mask {n}", view.image, one) for n, one in enumerate(draws, 1)]
    sizes = [plane.size_mm(_shape(view.image), view.spacing_mm) for plane in planes]
    unit = TILE / max(max(size) for size in sizes)
    wide = max(size[0] for size in sizes) * unit
    tall = sum(size[1] * unit + GAP for size in sizes) * len(view.image)
    canvas = Canvas(len(tiles) * (wide + GAP) - GAP, HEAD + tall, shown=170 * len(tiles))
    for column, (head, image, hidden) in enumerate(tiles):
        left = column * (wide + GAP)
        canvas.text(left + wide / 2, HEAD * 0.72, head, 30, "middle")
        top = HEAD
        for channel in image:
            for plane, size in zip(planes, sizes, strict=True):
                width, height = size[0] * unit, size[1] * unit
                _tile(canvas, plane, channel, hidden, (left + (wide - width) / 2, top, width, height))
                if view.label is not None and hidden is None:
                    _contours(
                        canvas, plane, view.label[0], (left + (wide - width) / 2, top, width, height), classes, shades
                    )
                top += height + GAP
    return canvas.svg()


def _tile(
    canvas: Canvas,
    plane: Plane,
    image: NDArray[np.float32],
    hidden: NDArray[np.bool_] | None,
    at: tuple[float, float, float, float],
) -> None:
    middle = image.shape[plane.normal] // 2
    canvas.image(to_grey(plane.cut(image, middle), (0.0, 1.0)), *at)
    if hidden is None:
        return
    cells = hidden
    for axis, length in enumerate(image.shape):
        cells = np.repeat(cells, length // cells.shape[axis], axis=axis)
    cell = max(1, image.shape[plane.across] // hidden.shape[plane.across])
    row = max(1, image.shape[plane.up] // hidden.shape[plane.up])
    coarse = plane.cut(cells, middle)[::row, ::cell]
    x, y, width, height = at
    step_x, step_y = width / coarse.shape[1], height / coarse.shape[0]
    covered = [(x + b * step_x, y + a * step_y, step_x, step_y) for a, b in np.argwhere(coarse).tolist()]
    canvas.hatch(covered, 12)


def _contours(
    canvas: Canvas,
    plane: Plane,
    label: NDArray[np.int64],
    at: tuple[float, float, float, float],
    classes: Mapping[int, str],
    shades: Mapping[str, str],
) -> None:
    cut = plane.cut(label, label.shape[plane.normal] // 2)
    x, y, width, height = at
    scale = np.array([width / cut.shape[1], height / cut.shape[0]])
    for value in sorted(classes):
        if value != 0:
            canvas.lines([line * scale + [x, y] for line in outlines(cut == value)], shades[classes[value]], 1.3)


def _shape(image: NDArray[Any]) -> tuple[int, int, int]:
    i, j, k = image.shape[1:]
    return int(i), int(j), int(k)
