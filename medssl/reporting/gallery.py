"""Many scans side by side, and scans that were left out next to the ones that were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.reporting.canvas import Canvas
from medssl.reporting.page import Figure, Picture
from medssl.reporting.plane import best_plane, grey_window, to_grey, upright

SIDE = 600.0
"""User units of a scan's square."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A scan as it is shown small.

    Args:
        title: its name; no name of a patient.
        image: ``(i, j, k)`` or ``(C, i, j, k)``.
        affine: 4×4, voxel index to RAS millimetres.
        detail: a few words under the name.
        modality: ``CT`` in HU is shown in a soft-tissue window.
    """

    title: str
    image: NDArray[Any]
    affine: NDArray[np.float64]
    detail: str = ""
    modality: str = ""


@dataclass(frozen=True, eq=False)
class Redundant:
    """A scan that was left out and the one that stands for it.

    Args:
        kept: the scan that stays.
        removed: the scan that was left out.
        reason: why, in words.
        distance: how far apart they are, where that was measured.
        unit: what the distance counts, for example ``bits of 64``.
    """

    kept: Thumbnail
    removed: Thumbnail
    reason: str
    distance: float | None = None
    unit: str = ""


def gallery(scans: Sequence[Thumbnail], caption: str) -> Figure:
    """The middle slice of every scan in its sharpest plane, in squares of equal size."""
    pictures = []
    for scan in scans:
        canvas = Canvas(SIDE, SIDE, shown=240)
        plane = draw_middle(canvas, scan, 0.0)
        pictures.append(Picture(canvas.svg(), f"middle {plane} slice of {scan.title}", scan.title, scan.detail))
    return Figure(tuple(pictures), caption, f"{len(scans)} scans side by side", layout="grid")


def kept_and_removed(pairs: Sequence[Redundant], caption: str) -> Figure:
    """Each scan that was left out at the right of the scan that stands for it, with distance and reason."""
    pictures = []
    for pair in pairs:
        canvas = Canvas(2 * SIDE + 24, SIDE, shown=440)
        draw_middle(canvas, pair.kept, 0.0)
        draw_middle(canvas, pair.removed, SIDE + 24)
        canvas.text(20, 52, "kept", 40, colour="#7fd6b4")
        canvas.text(SIDE + 44, 52, "left out", 40, colour="#ffb27a")
        far = "" if pair.distance is None else f" Distance {pair.distance:g}{' ' if pair.unit else ''}{pair.unit}."
        title = f"{pair.kept.title} stays, {pair.removed.title} is left out"
        alt = f"{pair.kept.title} beside {pair.removed.title}"
        pictures.append(Picture(canvas.svg(), alt, title, f"{sentence(pair.reason)}{far}"))
    return Figure(tuple(pictures), caption, "Scans that were kept beside scans that were left out", layout="wide")


def sentence(text: str) -> str:
    """A text with a capital at its beginning and a full stop at its end.

    Example:
        >>> sentence("every slice is the same")
        'Every slice is the same.'
    """
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def draw_middle(canvas: Canvas, scan: Thumbnail, left: float) -> str:
    """Draw a scan's middle slice into a square that begins at ``left``; returns the plane's name."""
    volume = upright(scan.image, scan.affine)
    plane = best_plane(volume)
    width_mm, height_mm = plane.size_mm(volume.shape, volume.spacing_mm)
    scale = canvas.height / max(width_mm, height_mm)
    width, height = width_mm * scale, height_mm * scale
    grey = to_grey(plane.cut(volume.data[0], volume.shape[plane.normal] // 2), grey_window(volume.data, scan.modality))
    side = canvas.height
    canvas.image(grey, left + (side - width) / 2, (side - height) / 2, width, height)
    canvas.text(left + 20, side - 22, plane.letters[0], 40)
    return plane.name
