"""A scan in three planes, with the contours of its labels and, dashed, of a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import UsageError
from medssl.reporting.canvas import Canvas, outlines
from medssl.reporting.page import Figure, Key, Picture
from medssl.reporting.palette import class_colours, readable
from medssl.reporting.plane import PLANES, Plane, grey_window, to_grey, upright
from medssl.volume import Volume

LONGEST = 1000.0
"""User units of the longest side of a figure's pictures."""


def three_planes(
    image: NDArray[Any],
    affine: NDArray[Any],
    *,
    caption: str,
    label: NDArray[Any] | None = None,
    prediction: NDArray[Any] | None = None,
    classes: Mapping[int, str] | None = None,
    colours: Mapping[str, str] | None = None,
    at_mm: tuple[float, float, float] | None = None,
    modality: str = "",
) -> Figure:
    """Axial, coronal and sagittal slices at one scale, the patient's right on the left.

    Args:
        image: ``(i, j, k)`` or ``(C, i, j, k)``; the first channel is drawn.
        affine: 4×4, voxel index to RAS millimetres.
        caption: what is seen.
        label: ``(i, j, k)`` integers on the same grid, drawn solid.
        prediction: ``(i, j, k)`` integers on the same grid, drawn dashed.
        classes: label value to name; without it every value above 0 is a class.
        colours: class name to CSS colour, so that a class looks the same over a whole page.
        at_mm: RAS millimetres of the slices; without it the slices that hold most of the labels, or the middle.
        modality: ``CT`` in HU is shown in a soft-tissue window.

    Raises:
        UsageError: a label has another shape than the image.
    """
    volume = upright(image, affine)
    maps = [_aligned(part, affine, volume) for part in (label, prediction)]
    names = dict(classes) if classes else _names(maps)
    shades = dict(colours) if colours else class_colours(names[value] for value in sorted(names))
    index = _position(volume, maps, names, at_mm)
    window = grey_window(volume.data, modality)
    unit = LONGEST / max(max(plane.size_mm(volume.shape, volume.spacing_mm)) for plane in PLANES)
    pictures = []
    for plane in PLANES:
        cuts = [None if part is None else plane.cut(part, index[plane.normal]) for part in maps]
        canvas = slice_canvas(volume, plane, index[plane.normal], window, unit)
        draw_contours(canvas, cuts[0], names, shades)
        draw_contours(canvas, cuts[1], names, shades, dash="6 4")
        draw_letters(canvas, plane, 38)
        title = position_title(volume, plane, index)
        pictures.append(Picture(canvas.svg(), f"{title}: {caption}", title, width=canvas.width))
    return Figure(tuple(pictures), caption, f"Three planes: {caption}", _legend(maps, names, shades))


def slice_canvas(volume: Volume, plane: Plane, at: int, window: tuple[float, float], unit: float) -> Canvas:
    """A canvas with one slice of an upright volume, ``unit`` user units a millimetre."""
    width, height = (side * unit for side in plane.size_mm(volume.shape, volume.spacing_mm))
    canvas = Canvas(width, height, shown=max(120, round(420 * width / LONGEST)))
    canvas.image(to_grey(plane.cut(volume.data[0], at), window), 0, 0, width, height)
    return canvas


def draw_contours(
    canvas: Canvas,
    cut: NDArray[Any] | None,
    classes: Mapping[int, str],
    colours: Mapping[str, str],
    dash: str = "",
) -> None:
    """Outline every class of a slice of labels that fills the canvas."""
    if cut is None:
        return
    scale = np.array([canvas.width / cut.shape[1], canvas.height / cut.shape[0]])
    for value in sorted(classes):
        lines = [line * scale for line in outlines(cut == value)]
        canvas.lines(lines, colours[classes[value]], 1.9 if dash else 1.3, dash)


def draw_letters(canvas: Canvas, plane: Plane, size: float) -> None:
    """Write the sides of the body at the four edges."""
    left, right, top, bottom = tuple(plane.letters)
    middle, gap = canvas.height / 2 + size * 0.36, size * 0.4
    canvas.text(gap, middle, left, size)
    canvas.text(canvas.width - gap, middle, right, size, "end")
    if canvas.height > 6 * size:
        canvas.text(canvas.width / 2, size * 1.1, top, size, "middle")
        canvas.text(canvas.width / 2, canvas.height - size * 0.4, bottom, size, "middle")


def position_title(volume: Volume, plane: Plane, index: NDArray[np.int64]) -> str:
    """The plane's name and where it cuts, in RAS millimetres."""
    mm = float((volume.affine @ np.append(index, 1.0))[plane.normal])
    return f"{plane.name}, {'xyz'[plane.normal]} = {signed(mm)} mm"


def signed(value: float) -> str:
    """A number of at least three digits' worth, with a true minus sign.

    Example:
        >>> signed(-12.34), signed(0.15)
        ('−12.3', '0.15')
    """
    text = f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"
    return text.replace("-", "−")


def _aligned(part: NDArray[Any] | None, affine: NDArray[Any], volume: Volume) -> NDArray[Any] | None:
    if part is None:
        return None
    turned = upright(part, affine)
    if turned.shape != volume.shape:
        raise UsageError(f"labels must have the image's shape, got {turned.shape} for an image of {volume.shape}")
    aligned: NDArray[Any] = turned.data[0]
    return aligned


def _names(maps: list[NDArray[Any] | None]) -> dict[int, str]:
    values = {int(v) for part in maps if part is not None for v in np.unique(part)}
    return {value: f"class {value}" for value in sorted(values) if value > 0}


def _position(
    volume: Volume,
    maps: list[NDArray[Any] | None],
    classes: Mapping[int, str],
    at_mm: tuple[float, float, float] | None,
) -> NDArray[np.int64]:
    """Voxel indices of the three slices."""
    last = np.asarray(volume.shape) - 1
    if at_mm is not None:
        index = np.linalg.inv(volume.affine) @ np.append(np.asarray(at_mm, dtype=np.float64), 1.0)
        return np.asarray(np.clip(np.rint(index[:3]), 0, last), dtype=np.int64)
    marked = [np.isin(part, list(classes)) for part in maps if part is not None and classes]
    inside = np.logical_or.reduce(marked) if marked else np.zeros(volume.shape, dtype=bool)
    if not inside.any():
        return np.asarray(last // 2, dtype=np.int64)
    counts = [inside.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    return np.array([int(np.argmax(count)) for count in counts], dtype=np.int64)


def _legend(maps: list[NDArray[Any] | None], classes: Mapping[int, str], colours: Mapping[str, str]) -> tuple[Key, ...]:
    present = {int(v) for part in maps if part is not None for v in np.unique(part)}
    keys = tuple(Key(readable(classes[v]), colours[classes[v]]) for v in sorted(classes) if v in present)
    if all(part is not None for part in maps):
        return (*keys, Key("label", "#ffffff"), Key("prediction", "#ffffff", dashed=True))
    return keys
