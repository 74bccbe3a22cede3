"""The views of one scan drawn where they lie in its body, and the views themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medssl.reporting.canvas import Canvas
from medssl.reporting.page import Figure, Key, Picture
from medssl.reporting.palette import ON_SCAN
from medssl.reporting.plane import AXIAL, CORONAL, SAGITTAL, Plane, grey_window, to_grey, upright
from medssl.reporting.slices import LONGEST, draw_letters
from medssl.views.grid import apply
from medssl.volume import Volume

BASE = "#c3cad2"
"""The colour of roles that are only a frame of reference."""


class Placed(Protocol):
    """Anything with a place in the body: a ``Box`` or a ``Grid``."""

    @property
    def affine(self) -> NDArray[np.float64]:
        """4×4, voxel index to RAS millimetres."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j and k."""
        ...


def views_in_body(
    image: NDArray[Any],
    affine: NDArray[Any],
    boxes: Mapping[str, Sequence[Placed]],
    caption: str,
    *,
    how: str = "mean",
    modality: str = "",
) -> Figure:
    """The scan seen through from the front and from the side, with the outline of every view.

    Args:
        image: ``(i, j, k)`` or ``(C, i, j, k)``.
        affine: 4×4, voxel index to RAS millimetres.
        boxes: role to the places of its views; a turned grid shows its turned outline. Roles with ``base`` in
            their name are thin dashed frames, all others have a colour each and are numbered.
        caption: what is seen.
        how: ``mean`` or ``max`` over the lines of sight.
        modality: ``CT`` in HU is clipped to its soft-tissue window before it is seen through.
    """
    volume = upright(image, affine)
    low, high = grey_window(volume.data, modality)
    clipped = np.clip(np.nan_to_num(volume.data[0].astype(np.float32)), low, high)
    unit = LONGEST / max(max(plane.size_mm(volume.shape, volume.spacing_mm)) for plane in (CORONAL, SAGITTAL))
    pictures = []
    for plane in (CORONAL, SAGITTAL):
        width, height = (side * unit for side in plane.size_mm(volume.shape, volume.spacing_mm))
        canvas = Canvas(width, height, shown=max(160, round(460 * width / LONGEST)))
        through = plane.project(clipped, how)
        # dimmed, so that the outlines stand out
        grey = to_grey(through, (float(through.min()), float(through.max()) * 1.15 + 1e-6))
        canvas.image(grey, 0, 0, width, height)
        for role, placed in boxes.items():
            _draw_role(canvas, plane, volume, role, placed, role_colours(boxes)[role])
        draw_letters(canvas, plane, 30)
        seen = "from the front" if plane is CORONAL else "from the side"
        pictures.append(Picture(canvas.svg(), f"The scan {seen} with the outlines of its views", seen, width=width))
    keys = tuple(Key(role, colour, "base" in role) for role, colour in role_colours(boxes).items())
    return Figure(tuple(pictures), caption, f"Views in the body: {caption}", keys)


def view_strip(images: Mapping[str, NDArray[Any]], caption: str, *, most: int = 12) -> Figure | None:
    """The sampled views themselves: the middle axial slice of each, framed in the colour of its role.

    Args:
        images: role to ``(N, C, i, j, k)``.
        caption: what is seen.
        most: views drawn at most for each role.
    """
    colours = role_colours(images)
    pictures = []
    for role, views in images.items():
        for number, view in enumerate(views[:most], 1):
            data = view[0]
            wide, tall = AXIAL.size_mm(data.shape, (1.0, 1.0, 1.0))
            canvas = Canvas(300, 300 * tall / wide, shown=150)
            grey = to_grey(AXIAL.cut(data, data.shape[2] // 2), grey_window(data))
            canvas.image(grey, 0, 0, canvas.width, canvas.height)
            corners = np.array([[0, 0], [300, 0], [300, canvas.height], [0, canvas.height]], dtype=np.float64)
            canvas.lines([corners], colours[role], 6)
            pictures.append(Picture(canvas.svg(), f"{role} view {number}", f"{role} {number}"))
    if not pictures:
        return None
    return Figure(tuple(pictures), caption, f"Views as the network sees them: {caption}", layout="strip")


def role_colours(roles: Mapping[str, object]) -> dict[str, str]:
    """A light grey for base roles, a colour each for the others.

    Example:
        >>> role_colours({"base": 0, "query": 0})
        {'base': '#c3cad2', 'query': '#56b4e9'}
    """
    coloured = [role for role in roles if "base" not in role]
    shades = {role: ON_SCAN[number % (len(ON_SCAN) - 1)] for number, role in enumerate(coloured)}
    return {role: shades.get(role, BASE) for role in roles}


def silhouette(plane: Plane, volume: Volume, placed: Placed) -> NDArray[np.float64]:
    """The outline ``(n, 2)`` of a box seen in a plane, in pixels from the left and upper edges.

    A box whose edges follow the plane gives a rectangle, one turned within the plane a turned rectangle, one that
    is tilted against it a hexagon.
    """
    ends = [(-0.5, count - 0.5) for count in placed.shape]
    corners = apply(placed.affine, np.array(list(product(*ends))))
    points = plane.place(volume.shape, apply(np.linalg.inv(volume.affine), corners))
    return _hull(np.round(points, 6))


def _draw_role(canvas: Canvas, plane: Plane, volume: Volume, role: str, placed: Sequence[Placed], colour: str) -> None:
    scale = np.array(
        [canvas.width / volume.shape[plane.across], canvas.height / volume.shape[plane.up]], dtype=np.float64
    )
    frame = "base" in role
    for number, place in enumerate(placed, 1):
        line = silhouette(plane, volume, place) * scale
        canvas.lines([line], colour, 1.1 if frame else 2.2, "4 3" if frame else "")
        if not frame:
            corner = line[int(np.argmin(line.sum(axis=1)))]
            canvas.text(corner[0] + 10, corner[1] + 38, str(number), 36, colour=colour)


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The convex hull in order around it (Andrew's monotone chain, Inf. Process. Lett. 9(5), 1979)."""
    ordered = sorted({(float(x), float(y)) for x, y in points})
    if len(ordered) < 3:
        return np.array(ordered)
    halves = []
    for run in (ordered, ordered[::-1]):
        chain: list[tuple[float, float]] = []
        for point in run:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        halves.append(chain[:-1])
    return np.array(halves[0] + halves[1])


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
