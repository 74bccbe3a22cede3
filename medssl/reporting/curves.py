"""Plots of numbers: losses over steps, similarities over steps, results with their intervals."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.reporting.canvas import FONT
from medssl.reporting.page import Figure, Key, Picture
from medssl.reporting.palette import LINES, line_colours

SCHEDULES = ("lr", "momentum", "weight_decay", "temperature")
"""Numbers that a schedule sets; they are drawn as they are."""

_INK, _SOFT, _RULE = "#111213", "#515253", "#d1d2d3"
"""Stand-ins that are replaced by the page's light and dark colours once the plot is text."""

_THEME = (
    "svg{--ink:#1d2126;--soft:#5a626c;--rule:#e3e5e8}"
    "@media screen and (prefers-color-scheme:dark){svg{--ink:#e6e9ec;--soft:#a2abb5;--rule:#343a42}}"
)


@dataclass(frozen=True, eq=False)
class Series:
    """Numbers over steps.

    Args:
        name: what they are.
        step: ``(n,)`` steps.
        value: ``(n,)`` values; what is not finite is left out.
        colour: position in the palette.
        noisy: whether a moving average is drawn over the values; a schedule has no noise.
    """

    name: str
    step: NDArray[Any]
    value: NDArray[Any]
    colour: int = 0
    noisy: bool = True

    def finite(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Steps and values in order of the steps, finite values only."""
        step, value = np.asarray(self.step, dtype=np.float64), np.asarray(self.value, dtype=np.float64)
        order = np.argsort(step, kind="stable")
        order = order[np.isfinite(value[order])]
        return step[order], value[order]


def series_of(rows: Sequence[Mapping[str, str]], name: str, shown: str = "", colour: int = 0) -> Series:
    """The series of one name from the rows of a ``metrics.csv`` (columns step, stage, name, value).

    Stages are laid end to end when their steps begin again.

    Example:
        >>> rows = [{"step": "1", "stage": "a", "name": "loss", "value": "2.5"}]
        >>> series_of(rows, "loss").value.tolist()
        [2.5]
    """
    kept = [row for row in rows if row.get("name") == name]
    step = np.array([float(row["step"]) for row in kept])
    value = np.array([float(row["value"]) for row in kept])
    if step.size and (np.diff(step) < 0).any():
        falls = np.concatenate([[0.0], np.where(np.diff(step) < 0, step[:-1], 0.0)])
        step = step + np.cumsum(falls)
    return Series(shown or name, step, value, colour, noisy=name not in SCHEDULES)


def smooth(value: NDArray[Any], width: int) -> NDArray[np.float64]:
    """A centred moving average over an odd ``width``, shorter at the ends.

    Example:
        >>> smooth(np.array([0.0, 3.0, 0.0, 3.0]), 3).tolist()
        [1.5, 1.0, 2.0, 1.5]
    """
    numbers = np.asarray(value, dtype=np.float64)
    half = max(0, width // 2)
    total = np.concatenate([[0.0], np.cumsum(numbers)])
    places = np.arange(numbers.size)
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, numbers.size)
    averaged: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return averaged


def curves(
    panels: Mapping[str, Sequence[Series]],
    caption: str,
    *,
    unit: str = "loss",
    limits: tuple[float, float] | None = None,
) -> Figure | None:
    """One small plot a title, raw values faint and their moving average strong.

    Args:
        panels: title to the series drawn in it; panels without a finite value are left out.
        caption: what is seen.
        unit: the name of the vertical axis.
        limits: its range, where all plots should share one.

    Returns:
        The figure, or None where there is nothing to draw.
    """
    drawn = {title: [s for s in lines if s.finite()[0].size] for title, lines in panels.items()}
    pictures = []
    for title, lines in drawn.items():
        if not lines:
            continue
        svg = plot(lambda axes, lines=lines: _lines(axes, lines, unit, limits), (3.0, 2.2))  # type: ignore[misc]
        ends = "; ".join(f"{s.name} from {s.finite()[1][0]:.3g} to {s.finite()[1][-1]:.3g}" for s in lines)
        pictures.append(Picture(svg, f"{title}: {ends}", title))
    if not pictures:
        return None
    several = {s.name: s.colour for lines in drawn.values() if len(lines) > 1 for s in lines}
    keys = tuple(Key(name, f"var(--line-{n % len(LINES)})", on_scan=False) for name, n in several.items())
    return Figure(tuple(pictures), caption, f"Curves: {caption}", keys, layout="plots")


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Args:
        name: what was measured.
        value: the number.
        low: lower end of the interval, where there is one.
        high: upper end.
        points: the single numbers behind it, drawn small.
        colour: position in the palette.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    points: tuple[float, ...] = ()
    colour: int = 0


def estimates(rows: Sequence[Estimate], caption: str, *, unit: str, limits: tuple[float, float]) -> Figure | None:
    """Numbers as dots with their intervals, one a line, from above to below."""
    shown = [row for row in rows if np.isfinite(row.value)]
    if not shown:
        return None
    svg = plot(lambda axes: _dots(axes, shown, unit, limits), (5.4, 0.75 + 0.36 * len(shown)))
    words = ", ".join(f"{row.name} {row.value:.3f}" for row in shown)
    return Figure(svg, caption, f"{unit}: {words}")


def _lines(axes: Any, lines: Sequence[Series], unit: str, limits: tuple[float, float] | None) -> None:
    for series in lines:
        step, value = series.finite()
        colour = LINES[series.colour % len(LINES)]
        width = max(1, step.size // 15) | 1 if series.noisy else 1
        if step.size == 1:
            axes.plot(step, value, "o", color=colour, markersize=4)
            continue
        if width > 1:
            axes.plot(step, value, color=colour, linewidth=0.9, alpha=0.32)
        axes.plot(step, smooth(value, width), color=colour, linewidth=1.9)
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.margins(x=0.02)
    if limits is not None:
        axes.set_ylim(*limits)


def _dots(axes: Any, rows: Sequence[Estimate], unit: str, limits: tuple[float, float]) -> None:
    for place, row in enumerate(rows):
        colour = LINES[row.colour % len(LINES)]
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
        axes.plot(row.points, [place] * len(row.points), "o", color=colour, markersize=4, alpha=0.4, markeredgewidth=0)
        axes.plot([row.value], [place], "o", color=colour, markersize=8)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*limits)
    axes.set_xlabel(unit)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def plot(draw: Callable[[Any], None], inches: tuple[float, float]) -> str:
    """Let ``draw`` fill plain axes; the SVG follows the page into the dark and depends on nothing but the numbers."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "medssl",
        "font.size": 10.5,
        "font.family": "sans-serif",
        "text.color": _INK,
        "axes.edgecolor": _SOFT,
        "axes.labelcolor": _SOFT,
        "xtick.color": _SOFT,
        "ytick.color": _SOFT,
        "grid.color": _RULE,
        "axes.linewidth": 0.8,
        "grid.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.facecolor": "none",
    }
    with rc_context(style):
        drawing = Drawing(figsize=inches, layout="constrained", facecolor="none")
        canvas = FigureCanvasSVG(drawing)
        draw(drawing.add_subplot())
        stream = io.StringIO()
        canvas.print_svg(stream, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _themed(stream.getvalue())


def _themed(svg: str) -> str:
    """The plot without its preamble, in the page's font, and with colours that follow light and dark."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r"font-family: [^;\"]+", f"font-family: {FONT}", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]+", rf"font: \1 {FONT}", svg)
    # coordinates need no more than two decimals; what stands between tags is text and stays as it is
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(?<=\d\.\d{2})\d+", "", tag[0]), svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    names = {_INK: "--ink", _SOFT: "--soft", _RULE: "--rule"} | {c: f"--line-{n}" for n, c in enumerate(LINES)}
    for stand_in, name in names.items():
        svg = svg.replace(stand_in, f"var({name})")
    head, rest = svg.split(">", 1)
    return f"{head}><style>{_THEME}{line_colours('svg')}</style>{rest}"
