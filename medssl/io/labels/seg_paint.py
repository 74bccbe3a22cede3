"""A DICOM segmentation painted on a grid: every plane where its own position and orientation put it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, UsageError
from medssl.io.files import check_size
from medssl.io.labels.seg import Plane, Seg
from medssl.io.labels.segments import paint, refuse_overlap

OFF_GRID = 0.05
"""How far a plane's corner may lie beside the grid's voxels, in voxels: digits lost in writing, nothing more."""


def painted(
    seg: Seg,
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    values: Mapping[int, int],
    threshold: float | None,
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """A segmentation on a grid whose voxels are its own, wherever it begins and ends and however it is turned.

    Args:
        seg: the segmentation.
        affine: of the grid, to RAS millimetres.
        shape: of the grid.
        values: segment number → voxel value; other segments are left out.
        threshold: from which share on a fractional one counts, in (0, 1].

    Returns:
        Voxels ``(i, j, k)``, and the flags ``fractional_threshold`` and ``label_outside:N`` (voxels beyond the grid).

    Raises:
        InputError: ``label``: it lies beside the grid's voxels, or two segments overlap, naming both.
    """
    check_size(shape, 4, seg.path)
    # planes mostly lie across the last axis
    out = np.zeros(shape, dtype=np.int32, order="F")
    inverse = np.asarray(np.linalg.inv(affine), dtype=np.float64)
    outside = total = 0
    done: dict[int, int] = {}
    wanted = sorted(
        (plane for plane in seg.planes if seg.kind == "LABELMAP" or plane.segment in values), key=_by_segment
    )
    for number, planes in groupby(wanted, key=lambda plane: plane.segment):
        clashes: dict[int, int] = {}
        for place, value, mask in _placed(seg, planes, inverse, shape, values, threshold):
            count, inside = int(mask.sum()), place.cut(mask)
            total, outside = total + count, outside + count - (0 if inside is None else int(inside.sum()))
            if inside is not None:
                paint(place.view(out), inside, value, clashes)
        refuse_overlap(clashes, number, done, seg.path)
        done[values.get(number, number)] = number
    if total and outside == total:
        raise InputError("no labelled voxel lies inside the scan", path=seg.path, code="label")
    flags = ("fractional_threshold",) if seg.kind == "FRACTIONAL" else ()
    return out, (*flags, f"label_outside:{outside}") if outside else flags


def _placed(
    seg: Seg,
    planes: Iterable[Plane],
    inverse: NDArray[np.float64],
    shape: tuple[int, int, int],
    values: Mapping[int, int],
    threshold: float | None,
) -> Iterator[tuple[_Place, int, NDArray[np.bool_]]]:
    """Each value of one segment's planes with its place and its pixels ``(column, row)``."""
    seen: set[tuple[int, int]] = set()
    for plane in planes:
        place = _Place.of(inverse @ plane.across, (seg.pixels.columns, seg.pixels.rows), shape, plane, seg.path)
        if (place.axis, place.at) in seen:
            raise InputError(
                f"two frames of segment {plane.segment} lie in one plane (frame {plane.index + 1})",
                path=seg.path,
                code="label",
            )
        seen.add((place.axis, place.at))
        for value, mask in _masks(seg, plane, values, threshold):
            yield place, value, mask


def _by_segment(plane: Plane) -> tuple[int, int]:
    return plane.segment, plane.index


def _masks(
    seg: Seg, plane: Plane, values: Mapping[int, int], threshold: float | None
) -> list[tuple[int, NDArray[np.bool_]]]:
    """Each value of a plane with the pixels ``(column, row)`` that have it."""
    stored = seg.pixels.plane(plane.index).T
    if seg.kind == "BINARY":
        return [(values[plane.segment], stored != 0)]
    if seg.kind == "FRACTIONAL":
        if threshold is None:
            raise InputError(
                "a FRACTIONAL segmentation has shares of a voxel, not labels",
                path=seg.path,
                code="label",
                hint="say from which share on a voxel counts: threshold=0.5",
            )
        if not 0 < threshold <= 1:
            raise UsageError(f"a threshold is above 0 and at most 1, got {threshold:g}", path=seg.path)
        return [(values[plane.segment], stored >= threshold * seg.full)]
    known = {one.number for one in seg.segments}
    found = [int(value) for value in np.unique(stored) if value not in (0, seg.padding)]
    strange = [value for value in found if value not in known]
    if strange:
        raise InputError(
            f"frame {plane.index + 1} has the value {strange[0]}, which is no segment", path=seg.path, code="label"
        )
    return [(values[value], stored == value) for value in found if value in values]


@dataclass(frozen=True)
class _Place:
    """Where a plane lies in a grid: which axis it is perpendicular to, and what its columns and rows are there."""

    axis: int
    at: int
    starts: tuple[int, int]
    signs: tuple[int, int]
    axes: tuple[int, int]
    sizes: tuple[int, int]
    shape: tuple[int, int, int]

    @classmethod
    def of(
        cls, steps: NDArray[np.float64], sizes: tuple[int, int], shape: tuple[int, int, int], plane: Plane, path: Path
    ) -> _Place:
        """The place of a plane.

        Args:
            steps: ``(4, 3)``: what one column, one row, and the first pixel are in voxels of the grid.
            sizes: columns, rows.
            shape: of the grid.
            plane: for messages.
            path: for messages.
        """
        whole = np.rint(steps[:3])
        off = steps[:3] - whole
        corners = [off[:, 2] + c * off[:, 0] + r * off[:, 1] for c in (0, sizes[0] - 1) for r in (0, sizes[1] - 1)]
        worst = float(np.abs(corners).max())
        unit = np.abs(whole[:, :2])
        if worst > OFF_GRID or unit.sum() != 2 or not (unit.sum(axis=0) == 1).all() or unit.sum(axis=1).max() > 1:
            raise InputError(
                f"the segmentation's grid is not its scan's: frame {plane.index + 1} lies up to {worst:.3g} voxels "
                "beside the scan's voxels, or has another spacing or direction",
                path=path,
                code="label",
                hint="give the scan it was made on, or take the nearest voxel with resample",
            )
        axes = (int(unit[:, 0].argmax()), int(unit[:, 1].argmax()))
        axis = 3 - sum(axes)
        signs = (int(whole[axes[0], 0]), int(whole[axes[1], 1]))
        starts = tuple(int(whole[a, 2]) - (n - 1 if s < 0 else 0) for a, n, s in zip(axes, sizes, signs, strict=True))
        return cls(axis, int(whole[axis, 2]), (starts[0], starts[1]), signs, axes, sizes, shape)

    def _bounds(self) -> list[tuple[int, int]]:
        """First and last voxel (exclusive) inside the grid, for columns and rows."""
        return [
            (max(start, 0), min(start + size, self.shape[axis]))
            for start, size, axis in zip(self.starts, self.sizes, self.axes, strict=True)
        ]

    def cut(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """The part of a mask ``(column, row)`` that lies inside the grid, or None."""
        if not 0 <= self.at < self.shape[self.axis] or any(low >= high for low, high in self._bounds()):
            return None
        turned = mask[:: self.signs[0], :: self.signs[1]]
        (c0, c1), (r0, r1) = self._bounds()
        return turned[c0 - self.starts[0] : c1 - self.starts[0], r0 - self.starts[1] : r1 - self.starts[1]]

    def view(self, out: NDArray[np.int32]) -> NDArray[np.int32]:
        """The grid's voxels there, ``(column, row)``."""
        slab: NDArray[np.int32] = np.moveaxis(out, (self.axis, *self.axes), (0, 1, 2))[self.at]
        (c0, c1), (r0, r1) = self._bounds()
        return slab[c0:c1, r0:r1]
