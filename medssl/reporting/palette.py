"""Colours that people with any kind of colour vision can tell apart, shared by every figure of a page.

The set is Okabe and Ito's (2008), as shown in B. Wong, "Points of view: Color blindness", Nature Methods 8, 441
(2011). On the dark ground of a scan its light members come first.
"""

from __future__ import annotations

from collections.abc import Iterable

ON_SCAN = ("#56b4e9", "#e69f00", "#00c08b", "#f0e442", "#e78ac3", "#ff7f50", "#b3b3ff", "#ffffff")
"""Contours on grey: sky blue, orange, green, yellow, pink, vermilion, lavender, white."""

LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Lines on paper: blue, vermilion, green, purple, orange, sky blue."""

LINES_DARK = ("#5cb8f0", "#ff8a4c", "#2fc79b", "#e39bc4", "#f2b632", "#9bd3f5")
"""The same lines on a dark page."""

GROUND = "#000000"
"""What lies around a scan."""


def class_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each class name, in order of first appearance; they come round again after eight.

    Example:
        >>> class_colours(["liver", "spleen", "liver"])
        {'liver': '#56b4e9', 'spleen': '#e69f00'}
    """
    return {name: ON_SCAN[number % len(ON_SCAN)] for number, name in enumerate(dict.fromkeys(names))}


def readable(name: str) -> str:
    """A class name as one reads it.

    Example:
        >>> readable("solid_organs")
        'solid organs'
    """
    return name.replace("_", " ")


def line_colours(selector: str = ":root") -> str:
    """CSS that names the colours of lines ``--line-0``, ``--line-1`` and so on, for light and dark."""
    light, dark = (";".join(f"--line-{n}:{c}" for n, c in enumerate(shades)) for shades in (LINES, LINES_DARK))
    return f"{selector}{{{light}}}@media screen and (prefers-color-scheme:dark){{{selector}{{{dark}}}}}"
