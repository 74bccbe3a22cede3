"""A small SVG canvas for scans: grey slices at their own resolution, with lines and letters that stay sharp."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from medssl.reporting.palette import GROUND

MAX_SIDE = 360
"""Pixels of an embedded slice along its longer side; larger ones are averaged down."""

FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"


class Canvas:
    """Pieces of an SVG, painted in the order in which they are added.

    Args:
        width: user units from left to right.
        height: user units from top to bottom.
        shown: CSS pixels of the natural width.
        ground: what is seen where nothing is painted.

    Example:
        >>> canvas = Canvas(10, 10)
        >>> canvas.text(1, 9, "R < L", 3)
        >>> "R &lt; L" in canvas.svg()
        True
    """

    def __init__(self, width: float, height: float, shown: int = 480, ground: str = GROUND) -> None:
        self.width, self.height, self.shown, self.ground = width, height, shown, ground
        self.parts: list[str] = []

    def image(self, pixels: NDArray[np.uint8], x: float, y: float, width: float, height: float) -> None:
        """Paint pixels ``(rows, columns)`` or ``(rows, columns, 3)`` into a rectangle."""
        uri = "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self.parts.append(f'<image {place} preserveAspectRatio="none" href="{uri}"/>')

    def lines(
        self,
        paths: Iterable[NDArray[np.float64]],
        colour: str,
        width: float = 1.6,
        dash: str = "",
        fill: str = "none",
    ) -> None:
        """Draw closed lines, each ``(n, 2)`` points x, y; width and dashes are in screen pixels."""
        data = "".join("M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in path) + "Z" for path in paths if len(path))
        if not data:
            return
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<path d="{data}" fill="{fill}" stroke="{colour}" stroke-width="{_n(width)}"{dashes} '
            'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
        )

    def hatch(self, rectangles: Sequence[tuple[float, float, float, float]], step: float) -> None:
        """Cover rectangles (x, y, width, height) with a neutral grey hatch."""
        if not rectangles:
            return
        data = "".join(f"M{_n(x)} {_n(y)}h{_n(w)}v{_n(h)}h{_n(-w)}Z" for x, y, w, h in rectangles)
        self.parts.append(
            f'<defs><pattern id="hatch" width="{_n(step)}" height="{_n(step)}" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><rect width="{_n(step)}" height="{_n(step)}" fill="#4b5158"/>'
            f'<rect width="{_n(step / 3)}" height="{_n(step)}" fill="#646b73"/></pattern></defs>'
            f'<path d="{data}" fill="url(#hatch)"/>'
        )

    def text(self, x: float, y: float, text: str, size: float, anchor: str = "start", colour: str = "#ffffff") -> None:
        """Write a line of text, its baseline at ``y``, with a dark rim that keeps it readable on any grey."""
        self.parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" text-anchor={quoteattr(anchor)} '
            f'fill={quoteattr(colour)} stroke="#000" stroke-opacity="0.65" stroke-width="{_n(size / 7)}" '
            f'paint-order="stroke" stroke-linejoin="round">{escape(text)}</text>'
        )

    def svg(self) -> str:
        """The picture as text."""
        tall = self.shown * self.height / self.width
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.shown}" height="{_n(tall)}" '
            f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" font-family="{FONT}" font-weight="600">'
            f'<rect width="100%" height="100%" fill="{self.ground}"/>{"".join(self.parts)}</svg>'
        )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of 8-bit pixels, averaged down until its longer side is at most ``MAX_SIDE``.

    Example:
        >>> png(np.zeros((4, 4), dtype=np.uint8))[1:4]
        b'PNG'
    """
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels))
    longest = max(picture.size)
    if longest > MAX_SIDE:
        width, height = (max(1, round(n * MAX_SIDE / longest)) for n in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def outlines(mask: NDArray[Any]) -> list[NDArray[np.float64]]:
    """Closed lines around the true parts of a mask ``(rows, columns)``.

    Returns:
        Arrays ``(n, 2)`` of x, y in pixels from the left and upper edges of the mask.

    Example:
        >>> mask = np.zeros((3, 3), dtype=bool); mask[1, 1] = True
        >>> outlines(mask)[0].tolist()
        [[1.5, 1.0], [2.0, 1.5], [1.5, 2.0], [1.0, 1.5]]
    """
    from contourpy import contour_generator

    if not mask.any():
        return []
    rim = np.pad(np.asarray(mask, dtype=np.float64), 1)
    found = contour_generator(z=rim, name="serial").lines(0.5)
    return [_corners(np.asarray(line, dtype=np.float64)[:-1] - 0.5) for line in found]


def _corners(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed line without the points that lie straight between their neighbours, beginning at its top."""
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    bends = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    kept = line[bends]
    first = int(np.lexsort((kept[:, 0], kept[:, 1]))[0])
    return np.roll(kept, -first, axis=0)


def _n(value: float) -> str:
    """A number with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
