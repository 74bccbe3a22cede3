"""Aligned text for people: facts with their names, tables, values in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST = 20
"""Rows of a table that are shown on a screen; files hold the rest."""


def facts(pairs: Mapping[str, Any]) -> list[str]:
    """A line for each fact, the values below one another; facts without a value are left out.

    Example:
        >>> facts({"scans": 4, "flags": [], "spacing": [1.5, 1.5, 3.0]})
        ['scans    4', 'spacing  1.5, 1.5, 3']
    """
    said = {name: shown(value) for name, value in pairs.items()}
    said = {name: text for name, text in said.items() if text}
    width = max((len(name) for name in said), default=0)
    return [f"{name:<{width}}  {text}" for name, text in said.items()]


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], more: str = "") -> list[str]:
    """Columns below one another, numbers to the right; what is over ``MOST`` rows is told in a last line.

    Args:
        head: names of the columns.
        rows: their cells.
        more: where the rows that are not shown can be read.

    Example:
        >>> table(["class", "Dice"], [["liver", 0.91234], ["aorta", None]])
        ['class   Dice', 'liver  0.912', 'aorta      –']
    """
    every = list(rows)
    cells = [[shown(cell, "–", 3) for cell in row] for row in every[:MOST]]
    right = [all(row[at] is None or isinstance(row[at], int | float) for row in every) for at in range(len(head))]
    widths = [max(len(line[at]) for line in [list(head), *cells]) for at in range(len(head))]
    lines = [_line(line, widths, right) for line in [list(head), *cells]]
    if len(every) > MOST:
        lines.append(f"… and {len(every) - MOST} more{f': {more}' if more else ''}")
    return lines


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return "  ".join(
        f"{cell:>{width}}" if to_right else f"{cell:<{width}}"
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ).rstrip()


def shown(value: Any, nothing: str = "", decimals: int | None = None) -> str:
    """A value in words.

    Args:
        value: plain data.
        nothing: what stands for null, and for a number that is not finite.
        decimals: of numbers that are not whole; as many as needed without it.

    Example:
        >>> shown([1, 2.50]), shown({"a": 1}), shown(None, "none"), shown(0.5, decimals=3)
        ('1, 2.5', 'a 1', 'none', '0.500')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return nothing
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if decimals is None else f"{value:.{decimals}f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(item, 'none', decimals)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(item, "none", decimals) for item in value)
    return str(value)


def part(choice: Any) -> str:
    """A part of a recipe with its settings.

    Example:
        >>> part({"name": "voco", "grid": [3, 3, 1]})
        'voco (grid 3 3 1)'
    """
    if not isinstance(choice, Mapping):
        return shown(choice)
    settings = ", ".join(f"{key} {_setting(value)}" for key, value in choice.items() if key != "name")
    return f"{choice.get('name', '')} ({settings})" if settings else str(choice.get("name", ""))


def _setting(value: Any) -> str:
    return " ".join(shown(item) for item in value) if isinstance(value, list | tuple) else shown(value, "none")


def size(numbers: Sequence[Any], unit: str = "") -> str:
    """Numbers along the axes.

    Example:
        >>> size([1.0, 1.0, 3.5], "mm")
        '1×1×3.5 mm'
    """
    unit = f" {unit}" if unit else ""
    return "×".join(shown(number) for number in numbers) + unit


def count(number: int, thing: str) -> str:
    """A number of things.

    Example:
        >>> count(1, "scan"), count(2, "scan")
        ('1 scan', '2 scans')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"
