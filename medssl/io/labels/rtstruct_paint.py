"""Contours of a structure set painted on the scan's own slices, never between them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.files import check_size
from medssl.io.labels.contours import filled
from medssl.io.labels.rtstruct import Region, StructureSet
from medssl.io.labels.segments import paint, refuse_overlap

IN_PLANE = 0.1
"""How far the points of a contour may lie beside its plane, in slices."""

ON_SLICE = 0.05
"""How far from a slice a contour may lie without the flag ``contours_moved``, in slices; it moves up to 0.5."""

Polygons = list[tuple[NDArray[np.float64], float]]


def painted(
    found: StructureSet, affine: NDArray[np.float64], shape: tuple[int, int, int], values: Mapping[int, int]
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Regions on a scan's grid.

    Args:
        found: the structure set.
        affine: of the scan, to RAS millimetres; sheared ones too.
        shape: of the scan.
        values: ROI number → voxel value; other regions are left out.

    Returns:
        Voxels ``(i, j, k)`` and flags: ``points_ignored:N`` (points and open lines), ``contours_degenerate:N``,
        ``contours_doubled:N`` (drawn twice, counted once), ``contours_moved:N`` (taken to the nearest slice),
        ``contours_outside:N``, ``contours_overlap:N`` (crossing ones, not holes), ``contour_gaps:N`` (slices between
        contours that have none), ``empty_segments:N`` (regions without a voxel).

    Raises:
        InputError: ``label``: a contour does not lie in a plane of the scan's slices, contours of several planes would
            fall into one slice, two regions overlap, or nothing lies inside the scan.
    """
    check_size(shape, 4, found.path)
    regions = [region for region in found.regions if region.segment.number in values]
    counts: Counter[str] = Counter()
    for region in regions:
        counts["points_ignored"] += region.other
        counts["contours_degenerate"] += region.short
    inverse = np.linalg.inv(affine)
    placed = [[points @ inverse[:3, :3].T + inverse[:3, 3] for points in region.contours] for region in regions]
    axis = _slice_axis([points for contours in placed for points in contours])
    slabs = np.zeros((shape[axis], *(n for a, n in enumerate(shape) if a != axis)), dtype=np.int32)
    out = np.moveaxis(slabs, 0, axis)
    done: dict[int, int] = {}
    for region, contours in zip(regions, placed, strict=True):
        number, value = region.segment.number, values[region.segment.number]
        clashes: dict[int, int] = {}
        slices = _slices(contours, axis, shape[axis], number, counts, found.path)
        voxels = 0
        for at, polygons in sorted(slices.items()):
            mask = _mask(polygons, slabs.shape[1:], counts)
            voxels += int(mask.sum())
            paint(slabs[at], mask, value, clashes)
        refuse_overlap(clashes, number, done, found.path)
        done[value] = number
        counts["contour_gaps"] += _gaps(slices)
        counts["empty_segments"] += voxels == 0
    _refuse_nothing(regions, bool(out.any()), found.path)
    return out, tuple(f"{name}:{count}" for name, count in counts.items() if count)


def _refuse_nothing(regions: Sequence[Region], any_voxel: bool, path: Path) -> None:
    if any_voxel or not any(region.contours for region in regions):
        return
    raise InputError(
        "no contour encloses a voxel of the scan", path=path, code="label", hint="give the scan it was drawn on"
    )


def _slice_axis(contours: Sequence[NDArray[np.float64]]) -> int:
    """The voxel axis along which the contours are flat: that of the slices they were drawn on."""
    if not contours:
        return 2
    spread = np.array([np.ptp(points, axis=0) for points in contours])
    return int(np.median(spread, axis=0).argmin())


def _slices(
    contours: Sequence[NDArray[np.float64]], axis: int, count: int, number: int, counts: Counter[str], path: Path
) -> dict[int, list[NDArray[np.float64]]]:
    """Contours by slice, as ``(points, 2)`` voxels within it."""
    across = [a for a in range(3) if a != axis]
    slices: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    places: dict[int, float] = {}
    for order, points in enumerate(contours, 1):
        flat = points[:, axis]
        if float(np.ptp(flat)) > 2 * IN_PLANE:
            raise InputError(
                f"contour {order} of ROI {number} reaches over {float(np.ptp(flat)):.3g} slices: it does not lie in a "
                "slice of the scan",
                path=path,
                code="label",
                hint="give the scan that it was drawn on",
            )
        place = float(flat.mean())
        at = int(np.floor(place + 0.5))
        if not 0 <= at < count:
            counts["contours_outside"] += 1
            continue
        if abs(places.setdefault(at, place) - place) > ON_SLICE:
            raise InputError(
                f"contours of ROI {number} lie in several planes within slice {at}: they were drawn on thinner slices",
                path=path,
                code="label",
                hint="give the scan that they were drawn on",
            )
        counts["contours_moved"] += abs(place - at) > ON_SLICE
        polygon = points[:, across]
        if any(_same(polygon, other) for other in slices[at]):
            counts["contours_doubled"] += 1
        else:
            slices[at].append(polygon)
    return slices


def _same(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether a contour was drawn twice, wherever it begins and whichever way it runs."""
    if len(a) != len(b) or np.abs(a.mean(axis=0) - b.mean(axis=0)).max() > 1e-4:
        return False
    return bool(np.abs(a[np.lexsort(np.round(a, 3).T)] - b[np.lexsort(np.round(b, 3).T)]).max() < 2e-3)


def _mask(polygons: list[NDArray[np.float64]], shape: tuple[int, ...], counts: Counter[str]) -> NDArray[np.bool_]:
    size = (shape[0], shape[1])
    limits = np.array(size) - 0.5
    for polygon in polygons:
        counts["contours_outside"] += bool((polygon.min(axis=0) < -0.5).any() or (polygon.max(axis=0) > limits).any())
    if len(polygons) > 1:
        # a hole lies within its outer contour; contours that cross leave out what they share
        masks = [filled([polygon], size) for polygon in polygons]
        for place, one in enumerate(masks):
            for other in masks[:place]:
                shared = int((one & other).sum())
                counts["contours_overlap"] += 0 < shared < min(int(one.sum()), int(other.sum()))
    return filled(polygons, size)


def _gaps(slices: Mapping[int, object]) -> int:
    """Slices without a contour between the first and the last one that has one."""
    return max(slices) - min(slices) + 1 - len(slices) if slices else 0
