"""Image planes sorted into volumes, in order along their normal, with the exact affine or a refusal."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom_frames import Frame
from medssl.volume import LPS_TO_RAS

SAME_DIRECTION = 1e-3
STEP_TOLERANCE = 0.01
STEP_FLOOR_MM = 0.01


@dataclass(frozen=True, eq=False)
class Stack:
    """The planes of one volume, in order along their normal.

    Args:
        frames: ordered planes.
        affine: voxel index (column, row, slice) to RAS millimetres.
        flags: ``sheared``, ``gaps_resampled``, ``monochrome1``.
        at: where each plane lies in units of slices: 0, 1, 2, … unless gaps were allowed.
    """

    frames: tuple[Frame, ...]
    affine: NDArray[np.float64]
    flags: tuple[str, ...]
    at: NDArray[np.float64]


def split(frames: tuple[Frame, ...]) -> list[list[Frame]]:
    """Planes that belong to one volume each, in a stable order; nothing is judged yet."""
    exact: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        exact[(frame.hard, frame.shape, frame.modality)].append(frame)
    groups: list[list[Frame]] = []
    for same in exact.values():
        for alike in _alike(same):
            groups += _apart(_along_normal(alike))
    return sorted(groups, key=lambda group: min((str(frame.path), frame.index or 0) for frame in group))


def _alike(frames: list[Frame]) -> list[list[Frame]]:
    """Groups of equal orientation and pixel spacing, within rounding."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            # slices of a series mostly share one array of each
            first = group[0]
            same = first.directions is frame.directions
            if not same and np.abs(first.directions - frame.directions).max() > SAME_DIRECTION:
                continue
            if first.spacing is frame.spacing or np.allclose(first.spacing, frame.spacing, rtol=1e-4, atol=0):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _normal(frame: Frame) -> NDArray[np.float64]:
    return np.cross(frame.directions[0], frame.directions[1])


def _along_normal(frames: list[Frame]) -> list[Frame]:
    normal = _normal(frames[0])
    return sorted(frames, key=lambda frame: (float(frame.position @ normal), str(frame.path), frame.index or 0))


def _apart(frames: list[Frame]) -> list[list[Frame]]:
    """Separate planes that lie on top of each other by time, acquisition or echo, if one of these tells them apart."""
    if not _doubles(frames):
        return [frames]
    for place in range(len(frames[0].soft)):
        by_value: dict[str, list[Frame]] = defaultdict(list)
        for frame in frames:
            by_value[frame.soft[place]].append(frame)
        groups = list(by_value.values())
        if len(groups) > 1 and all(len(group) > 1 and not _doubles(group) for group in groups):
            return groups
    return [frames]


def _doubles(frames: list[Frame]) -> list[tuple[Frame, Frame]]:
    return [(a, b) for a, b in pairwise(frames) if float(np.abs(a.position - b.position).max()) < STEP_FLOOR_MM]


def stack(group: list[Frame], folder: Path, allow_gaps: bool = False) -> Stack:
    """The exact affine of ordered planes.

    Raises:
        InputError: ``slices`` with both file names and the millimetres, or ``not-a-volume`` for a single slice.
    """
    if len(group) < 2:
        raise InputError(
            "a single slice (2D image), expected a volume",
            path=group[0].path,
            code="not-a-volume",
            hint="give the folder that holds the whole series",
        )
    if min(group[0].shape) < 2:
        raise InputError("slices of one row or column, expected a volume", path=group[0].path, code="not-a-volume")
    doubles = _doubles(group)
    if doubles:
        a, b = doubles[0]
        raise InputError(
            f"duplicate slice position: {a.name} and {b.name} lie 0 mm apart ({len(doubles)} such pairs)",
            path=b.path,
            code="slices",
        )
    normal = _normal(group[0])
    along = np.array([float(frame.position @ normal) for frame in group])
    steps = np.diff(along)
    typical = float(np.median(steps))
    tolerance = max(STEP_FLOOR_MM, STEP_TOLERANCE * typical)
    uneven = np.flatnonzero(np.abs(steps - typical) > tolerance)
    flags: tuple[str, ...] = ()
    at = np.arange(len(group), dtype=np.float64)
    if uneven.size and not allow_gaps:
        raise _uneven(group, steps, typical, int(uneven[0]), len(uneven))
    if uneven.size:
        at, flags = (along - along[0]) / typical, ("gaps_resampled",)
    step = (group[-1].position - group[0].position) / at[-1]
    _check_line(group, at, step, tolerance)
    affine = _affine(group[0], step)
    across = step - (step @ normal) * normal
    if float(np.linalg.norm(across)) > 1e-3 * float(np.linalg.norm(step)):
        flags = (*flags, "sheared")
    if any(frame.inverted for frame in group):
        flags = (*flags, "monochrome1")
    return Stack(tuple(group), affine, flags, at)


def _uneven(group: list[Frame], steps: NDArray[np.float64], typical: float, worst: int, count: int) -> InputError:
    a, b, step = group[worst], group[worst + 1], float(steps[worst])
    times = step / typical
    what = "missing slice (gap)" if times > 1.5 and abs(times - round(times)) < 0.05 else "inconsistent spacing"
    return InputError(
        f"{what}: {a.name} and {b.name} lie {step:.4g} mm apart, the other slices {typical:.4g} mm "
        f"({count} such steps)",
        path=b.path,
        code="slices",
        hint="find the slices, or allow gaps to be resampled",
    )


def _check_line(group: list[Frame], at: NDArray[np.float64], step: NDArray[np.float64], tolerance: float) -> None:
    """Every plane must lie, and be turned, where the affine says."""
    positions = np.stack([frame.position for frame in group])
    off = np.linalg.norm(positions - (positions[0] + at[:, None] * step), axis=1)
    worst = int(off.argmax())
    if off[worst] > tolerance:
        raise InputError(
            f"inconsistent ImagePositionPatient: {group[worst].name} lies {off[worst]:.4g} mm beside the line from "
            f"{group[0].name} to {group[-1].name}",
            path=group[worst].path,
            code="slices",
        )
    first = group[0]
    reach = np.array([first.shape[1] * first.spacing[1], first.shape[0] * first.spacing[0]])
    for frame in group:
        drift = float((np.linalg.norm(frame.directions - first.directions, axis=1) * reach).max())
        if drift > 0.05 * float(first.spacing.min()):
            raise InputError(
                f"ImageOrientationPatient differs between {first.name} and {frame.name}: {drift:.4g} mm at the edge",
                path=frame.path,
                code="slices",
            )


def _affine(first: Frame, step: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * first.spacing[1]
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return LPS_TO_RAS @ affine
