"""The planes of one volume stacked: the exact affine from their positions alone, or a refusal that names both files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom.copies import double_error
from medssl.io.dicom.frame import Frame
from medssl.io.dicom.split import STEP_TOLERANCE, doubles, normal_of, places, tolerance_mm, typical_step
from medssl.volume import LPS_TO_RAS

MAX_SHIFT = 2.0
"""Slices shifted by more than this many times their distance (an angle of 63 degrees) are no gantry tilt."""

MAX_FILLED = 4
"""With gaps allowed, at most so many slices are made of one."""

_EDGE_DRIFT = 0.05


@dataclass(frozen=True, eq=False)
class Stack:
    """The planes of one volume, in order along their normal.

    Args:
        frames: ordered planes.
        affine: voxel index (column, row, slice) to RAS millimetres.
        flags: ``sheared``, ``gaps_resampled``, ``mixed_thickness``, ``monochrome1``.
        at: where each plane lies in units of slices: 0, 1, 2, … unless gaps were allowed.
    """

    frames: tuple[Frame, ...]
    affine: NDArray[np.float64]
    flags: tuple[str, ...]
    at: NDArray[np.float64]


def stack(group: list[Frame], folder: Path, allow_gaps: bool = False) -> Stack:
    """The exact affine of ordered planes.

    Raises:
        InputError: ``slices`` with both file names and the millimetres, or ``not-a-volume`` for a single slice.
    """
    _check_size(group)
    pairs = doubles(group)
    if pairs:
        raise double_error(pairs, len(group))
    along = places(group)
    steps = np.diff(along)
    typical, tolerance = typical_step(steps), tolerance_mm(steps)
    uneven = np.flatnonzero(np.abs(steps - typical) > tolerance)
    at = np.arange(len(group), dtype=np.float64)
    if uneven.size and not allow_gaps:
        raise _uneven(group, steps, typical, int(uneven[0]), len(uneven))
    if uneven.size:
        at = (along - along[0]) / typical
        # where only whole slices are missing, those that are there stay as they are
        at = np.rint(at) if np.abs(at - np.rint(at)).max() <= STEP_TOLERANCE else at
        if at[-1] > MAX_FILLED * len(group):
            raise _uneven(group, steps, typical, int(steps.argmax()), len(uneven))
    step = (group[-1].position - group[0].position) / at[-1]
    _check_line(group, at, step, tolerance)
    _check_turn(group)
    affine = _affine(group[0], step)
    return Stack(tuple(group), affine, _flags(group, step, bool(uneven.size)), at)


def _check_size(group: list[Frame]) -> None:
    if group[0].unfit:
        raise InputError(f"this is {group[0].unfit}, expected a volume", path=group[0].path, code="not-a-volume")
    if len(group) < 2:
        raise InputError(
            "a single slice (2D image), expected a volume",
            path=group[0].path,
            code="not-a-volume",
            hint="give the folder that holds the whole series",
        )
    if min(group[0].shape) < 2:
        raise InputError("slices of one row or column, expected a volume", path=group[0].path, code="not-a-volume")


def _flags(group: list[Frame], step: NDArray[np.float64], resampled: bool) -> tuple[str, ...]:
    normal = normal_of(group[0])
    depth = float(step @ normal)
    shift = float(np.linalg.norm(step - depth * normal))
    if shift > MAX_SHIFT * depth:
        raise InputError(
            f"inconsistent ImagePositionPatient: each slice is shifted by {shift:.4g} mm for {depth:.4g} mm of depth",
            path=group[-1].path,
            code="slices",
        )
    flags = ("gaps_resampled",) if resampled else ()
    if shift > 1e-3 * float(np.linalg.norm(step)):
        flags = (*flags, "sheared")
    thickness = [frame.thickness for frame in group if frame.thickness > 0]
    if thickness and max(thickness) > 1.01 * min(thickness):
        flags = (*flags, "mixed_thickness")
    return (*flags, "monochrome1") if group[0].inverted else flags


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
    """Every plane must lie where the affine says."""
    positions = np.stack([frame.position for frame in group])
    off = positions - (positions[0] + at[:, None] * step)
    normal = normal_of(group[0])
    along = off @ normal
    across = np.linalg.norm(off - along[:, None] * normal, axis=1)
    # a slice may be thick while its pixels are small
    allowed = _EDGE_DRIFT * float(group[0].spacing.min())
    worst = int(np.maximum(np.abs(along) / tolerance, across / allowed).argmax())
    if abs(along[worst]) > tolerance or across[worst] > allowed:
        aside = float(np.linalg.norm(off[worst]))
        raise InputError(
            f"inconsistent ImagePositionPatient: {group[worst].name} lies {aside:.4g} mm beside the line from "
            f"{group[0].name} to {group[-1].name}",
            path=group[worst].path,
            code="slices",
        )


def _check_turn(group: list[Frame]) -> None:
    """Every plane must be turned and spaced as the first one, to the last pixel."""
    first = group[0]
    count = np.array([first.shape[1], first.shape[0]])
    reach = first.directions * (first.spacing[::-1] * count)[:, None]
    for frame in group:
        drift = float(np.linalg.norm(frame.directions * (frame.spacing[::-1] * count)[:, None] - reach, axis=1).max())
        if drift > _EDGE_DRIFT * float(first.spacing.min()):
            raise InputError(
                f"ImageOrientationPatient or PixelSpacing differs between {first.name} and {frame.name}: "
                f"{drift:.4g} mm at the edge",
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
