"""Image planes sorted into volumes: by what always parts them, and by time or echo where planes lie on each other.

What always parts: patient, study, series, frame of reference, image type, echo time, b-value, matrix, orientation,
pixel spacing, modality, unit and polarity. A stray ImageType on one slice makes that slice a volume of its own, and
leaves a gap where it is missing: both are then seen.

What parts where it must: times, acquisitions, directions. They may as well run along a single volume (an axial CT has
an acquisition number a table position, a 2D MR a time a slice), so they part planes only where the planes of each value
cover the same stretch of the body.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from medssl.io.dicom.diffusion import with_directions
from medssl.io.dicom.frame import SOFT, Frame

SAME_DIRECTION = 1e-3
SAME_SPACING = 1e-4
STEP_TOLERANCE = 0.01
STEP_FLOOR_MM = 0.01

_ALWAYS = tuple(
    SOFT.index(keyword) for keyword in ("TemporalPositionIdentifier", "AcquisitionNumber", "ConvolutionKernel")
)
_ENOUGH = 0.8
_MOST_MISSING = 64
_MOST_TOGETHER = 3
_MOST_TAGS = 12

Group = list[Frame]


def split(frames: tuple[Frame, ...]) -> list[Group]:
    """Planes that belong to one volume each, in order along their normal; nothing is judged yet.

    Returns:
        Groups in a stable order: by the name of each one's first file.
    """
    exact: dict[tuple[object, ...], Group] = defaultdict(list)
    for frame in frames:
        key = (frame.hard, frame.study, frame.shape, frame.modality, frame.unit, frame.inverted, frame.tile is None)
        exact[key].append(frame)
    groups: list[Group] = []
    for same in exact.values():
        for alike in _alike(same):
            groups += _apart(along_normal(alike))
    return sorted(groups, key=lambda group: min((str(frame.path), frame.index or 0) for frame in group))


def normal_of(frame: Frame) -> NDArray[np.float64]:
    """The unit vector that a plane's rows and columns are perpendicular to, LPS."""
    return np.cross(frame.directions[0], frame.directions[1])


def along_normal(frames: Group) -> Group:
    """Planes in order of their position along the first one's normal; their names decide nothing but ties."""
    normal = normal_of(frames[0])
    return sorted(frames, key=lambda frame: (float(frame.position @ normal), str(frame.path), frame.index or 0))


def places(frames: Group) -> NDArray[np.float64]:
    """Millimetres along the first plane's normal."""
    return np.stack([frame.position for frame in frames]) @ normal_of(frames[0])


def tolerance_mm(steps: NDArray[np.float64]) -> float:
    """How far a step may be from the others: 1 % of it, at least 0.01 mm, but never more than 5 %."""
    typical = typical_step(steps)
    return max(min(STEP_FLOOR_MM, 0.05 * typical), STEP_TOLERANCE * typical)


def typical_step(steps: NDArray[np.float64]) -> float:
    """The step of which all are whole multiples, where there is one: the others are then gaps; else a middle one.

    Example:
        >>> typical_step(np.array([3.0, 6.0, 9.0])), typical_step(np.array([3.0, 3.0, 4.0, 5.0]))
        (3.0, 3.0)
    """
    times = steps / max(float(steps.min()), 1e-9)
    whole = np.rint(times)
    if whole.max() <= _MOST_MISSING and np.abs(times - whole).max() < 0.05:
        return float(steps.sum() / whole.sum())
    return float(np.sort(steps)[(len(steps) - 1) // 2])


def doubles(frames: Group) -> list[tuple[Frame, Frame]]:
    """Neighbours, of planes in order, that lie in one plane."""
    if len(frames) < 2:
        return []
    steps = np.diff(places(frames))
    # slices of a few micrometres are not doubles
    least = min(STEP_FLOOR_MM, 0.1 * float(steps.max()))
    return [pair for pair, step in zip(pairwise(frames), steps, strict=True) if step <= least]


def is_regular(frames: Group) -> bool:
    """Whether planes in order are evenly spaced."""
    steps = np.diff(places(frames))
    return len(frames) > 1 and not doubles(frames) and bool(np.ptp(steps) <= 2 * tolerance_mm(steps))


def _alike(frames: Group) -> list[Group]:
    """Groups of equal orientation and pixel spacing, within rounding of each group's first plane."""
    exact: dict[bytes, Group] = defaultdict(list)
    for frame in frames:
        exact[frame.directions.tobytes() + frame.spacing.tobytes()].append(frame)
    groups: list[Group] = []
    # all at once: a hostile folder may turn every one of its thousands of slices another way
    turns, spacings = np.empty((len(exact), 2, 3)), np.empty((len(exact), 2))
    for same in exact.values():
        count = len(groups)
        near = np.abs(turns[:count] - same[0].directions).max(axis=(1, 2)) <= SAME_DIRECTION
        near &= (np.abs(spacings[:count] - same[0].spacing) <= SAME_SPACING * spacings[:count]).all(axis=1)
        if near.any():
            groups[int(near.argmax())] += same
        else:
            turns[count], spacings[count] = same[0].directions, same[0].spacing
            groups.append(list(same))
    return groups


def _apart(frames: Group) -> list[Group]:
    """Separate times, acquisitions and directions; the planes as they are where no tag tells them apart."""
    for place in _ALWAYS:
        parts = _by(frames, (place,))
        if len(parts) > 1 and _cover_the_same(parts):
            return [one for part in parts for one in _apart(part)]
    if is_regular(frames):
        return [frames]
    return _told_apart(frames) or _told_apart(with_directions(frames)) or [frames]


def _told_apart(frames: Group) -> list[Group] | None:
    """By the fewest tags that leave no two planes in one place; best where that leaves even spacing everywhere."""
    varying = [
        place for place in range(len(frames[0].soft)) if 1 < len({frame.soft[place] for frame in frames}) < len(frames)
    ][:_MOST_TAGS]
    fallback: list[Group] | None = None
    for together in range(1, _MOST_TOGETHER + 1):
        for places_used in combinations(varying, together):
            parts = _by(frames, places_used)
            if len(parts) == len(frames) or any(doubles(part) for part in parts) or not _cover_the_same(parts):
                continue
            if all(is_regular(part) for part in parts):
                return parts
            fallback = fallback or parts
        if fallback is not None:
            return fallback
    return None


def _by(frames: Group, soft: tuple[int, ...]) -> list[Group]:
    parts: dict[tuple[str, ...], Group] = defaultdict(list)
    for frame in frames:
        parts[tuple(frame.soft[place] for place in soft)].append(frame)
    return list(parts.values())


def _cover_the_same(parts: list[Group]) -> bool:
    """Whether each part is a stack over the same stretch, one perhaps broken off; else a tag runs along one stack."""
    largest = max(parts, key=len)
    if len(parts) < 2 or len(largest) < 2:
        return False
    few = [part for part in parts if len(part) < max(2, _ENOUGH * len(largest))]
    if len(few) > 1:
        return False
    low, high = float(places(largest)[0]), float(places(largest)[-1])
    # the parts of one group are parallel within rounding, so one normal serves all
    normal = normal_of(largest[0])
    for part in parts:
        ends = sorted(float(frame.position @ normal) for frame in (part[0], part[-1]))
        common = min(high, ends[1]) - max(low, ends[0])
        if common < (0.0 if part in few else 0.5 * (high - low)):
            return False
    return True
