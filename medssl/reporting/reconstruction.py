"""What a masked method was given, what it saw of it, and what it made of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import UsageError
from medssl.reporting.canvas import Canvas
from medssl.reporting.page import Figure, Picture
from medssl.reporting.plane import AXIAL, PLANES, Plane, grey_window, to_grey

TILE, GAP, HEAD = 300.0, 10.0, 44.0
"""User units of a tile's longer side, of the gap between tiles and of the line of text above them."""

Pictures = Mapping[str, NDArray[Any]]
"""Arrays ``(N, C, i, j, k)`` by name: ``input``, ``masked``, ``rebuilt`` and, where there is one, ``hidden``; of a
method that distorts and hides nothing ``seen`` in the place of ``masked``."""


def reconstruction(
    pictures: Pictures, caption: str, *, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), most: int = 4
) -> Figure | None:
    """Input, masked input and what was rebuilt, in three planes, for each of the first views.

    Args:
        pictures: ``input``, ``masked`` and ``rebuilt``, each ``(N, C, i, j, k)``; ``hidden``, true where hidden, of
            the same shape or of a coarser one that divides it. Without ``hidden``, voxels count as
            hidden where masked or rebuilt differ from the input.
        caption: what is seen.
        spacing_mm: millimetres of a voxel.
        most: views drawn at most.

    Returns:
        The figure, or None where input or rebuilt is missing.
    """
    if "input" not in pictures or "rebuilt" not in pictures:
        return None
    count = min(most, len(pictures["input"]))
    drawn = [Picture(_view(pictures, n, spacing_mm), f"View {n + 1}: {caption}", f"view {n + 1}") for n in range(count)]
    return Figure(tuple(drawn), caption, f"Input, hidden cells and what was rebuilt: {caption}", layout="wide")


def reconstruction_over_time(
    steps: Mapping[int, Pictures],
    caption: str,
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    most: int = 2,
    columns: int = 4,
) -> Figure | None:
    """The same views at several steps: input, what was seen of it, then what was rebuilt after each step.

    Args:
        steps: step to the pictures saved there; the views must be the same ones at every step.
        caption: what is seen.
        spacing_mm: millimetres of a voxel.
        most: views drawn at most.
        columns: steps drawn at most, spread over the run, the last among them.
    """
    usable = {step: found for step, found in sorted(steps.items()) if "input" in found and "rebuilt" in found}
    if len(usable) < 2:
        return None
    chosen = _spread(list(usable), columns)
    drawn = []
    for n in range(min(most, *(len(usable[step]["input"]) for step in chosen))):
        first = usable[chosen[0]]
        volumes = [_volume(first[name], n) for name in ("input", _seen(first))]
        volumes += [_volume(usable[step]["rebuilt"], n) for step in chosen]
        heads = ["input", "seen", *(f"step {step}" for step in chosen)]
        hidden = [None, _hidden(first, n), *([None] * len(chosen))]
        svg = _mosaic(heads, volumes, hidden, (AXIAL,), spacing_mm)
        drawn.append(Picture(svg, f"View {n + 1} at steps {', '.join(map(str, chosen))}", f"view {n + 1}, axial"))
    return Figure(tuple(drawn), caption, f"Reconstructions over time: {caption}", layout="stack")


def _view(pictures: Pictures, n: int, spacing_mm: tuple[float, float, float]) -> str:
    volumes = [_volume(pictures[name], n) for name in ("input", _seen(pictures), "rebuilt")]
    return _mosaic(("input", "seen", "rebuilt"), volumes, (None, _hidden(pictures, n), None), PLANES, spacing_mm)


def _mosaic(
    heads: Sequence[str],
    volumes: Sequence[NDArray[Any]],
    hidden: Sequence[NDArray[np.bool_] | None],
    planes: Sequence[Plane],
    spacing_mm: tuple[float, float, float],
) -> str:
    """One column a volume, one row a plane, through the middle voxels."""
    shape = volumes[0].shape
    unit = TILE / max(max(plane.size_mm(shape, spacing_mm)) for plane in planes)
    sizes = [tuple(side * unit for side in plane.size_mm(shape, spacing_mm)) for plane in planes]
    wide = max(width for width, _ in sizes)
    canvas = Canvas(len(heads) * (wide + GAP) - GAP, HEAD + sum(h + GAP for _, h in sizes) - GAP, 110 * len(heads) + 60)
    window = grey_window(volumes[0])
    for column, (head, volume, mask) in enumerate(zip(heads, volumes, hidden, strict=True)):
        left, top = column * (wide + GAP), HEAD
        canvas.text(left + wide / 2, HEAD - 14, head, 25, "middle", "#d5d9de")
        for plane, (width, height) in zip(planes, sizes, strict=True):
            at = shape[plane.normal] // 2
            canvas.image(to_grey(plane.cut(volume, at), window), left + (wide - width) / 2, top, width, height)
            if mask is not None:
                cut = plane.cut(mask, at)
                canvas.hatch(_rectangles(cut, left + (wide - width) / 2, top, width, height), TILE / 24)
            top += height + GAP
    return canvas.svg()


def _rectangles(
    cut: NDArray[np.bool_], left: float, top: float, width: float, height: float
) -> list[tuple[float, float, float, float]]:
    """Cover the true pixels with runs along the rows, equal runs of neighbouring rows joined."""
    across, down = width / cut.shape[1], height / cut.shape[0]
    found: list[tuple[float, float, float, float]] = []
    row = 0
    while row < cut.shape[0]:
        end = row + 1
        while end < cut.shape[0] and np.array_equal(cut[end], cut[row]):
            end += 1
        edges = np.flatnonzero(np.diff(np.concatenate([[0], cut[row].astype(np.int8), [0]])))
        for first, last in edges.reshape(-1, 2):
            found.append((left + first * across, top + row * down, (last - first) * across, (end - row) * down))
        row = end
    return found


def _volume(array: NDArray[Any], n: int) -> NDArray[Any]:
    if array.ndim != 5:
        raise UsageError(f"pictures have 5 dimensions (N, C, i, j, k), got shape {array.shape}")
    first: NDArray[Any] = array[n, 0]
    return first


def _hidden(pictures: Pictures, n: int) -> NDArray[np.bool_] | None:
    """True where hidden, at the shape of the input; None where nothing tells."""
    shape = _volume(pictures["input"], n).shape
    if "hidden" in pictures:
        mask = _volume(pictures["hidden"], n).astype(bool)
        for axis in range(3):
            if shape[axis] % mask.shape[axis]:
                raise UsageError(f"hidden cells {mask.shape} must divide the view's shape {shape}")
            mask = np.repeat(mask, shape[axis] // mask.shape[axis], axis=axis)
        return mask
    if "masked" not in pictures:
        return None
    whole = _volume(pictures["input"], n)
    masked, rebuilt = (~np.isclose(_volume(pictures[name], n), whole, atol=1e-6) for name in ("masked", "rebuilt"))
    # hidden background may look like what it was filled with, but seldom like what was rebuilt there; a network
    # that draws visible cells anew tells nothing by that
    return np.asarray(masked if rebuilt.mean() > 0.99 else masked | rebuilt)


def _seen(pictures: Pictures) -> str:
    """The name of what the network saw: a distorted input of its own, or the input with hidden cells hatched."""
    return "seen" if "seen" in pictures else "input"


def _spread(steps: list[int], most: int) -> list[int]:
    places = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))
    return [steps[place] for place in places]
