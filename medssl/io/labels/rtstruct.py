"""RT structure sets (RTSTRUCT): regions of interest as contours in patient millimetres."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom.files import quiet, read_dataset
from medssl.io.dicom.tags import raw, text
from medssl.io.dicom.whole import check_whole
from medssl.io.labels.segments import Segment, shown_name, unlike
from medssl.volume import LPS_TO_RAS

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
MAX_POINTS = 50_000_000
_TAGS = [
    "SOPClassUID",
    "StructureSetROISequence",
    "ROIContourSequence",
    "RTROIObservationsSequence",
    "ReferencedFrameOfReferenceSequence",
    "FrameOfReferenceUID",
]


@dataclass(frozen=True, eq=False)
class Region:
    """A region of interest.

    Args:
        segment: its number and names.
        contours: closed planar contours, ``(points, 3)`` RAS millimetres each.
        other: how many contours it has that enclose nothing: points and open lines.
        short: how many closed contours of fewer than three points it has.
        frame_of_reference: as it stands, never to be output.
    """

    segment: Segment
    contours: tuple[NDArray[np.float64], ...]
    other: int
    short: int
    frame_of_reference: str


@dataclass(frozen=True, eq=False)
class StructureSet:
    """A structure set.

    Args:
        path: the file.
        regions: in the order of their numbers.
        series: SeriesInstanceUIDs that it refers to, never to be output.
    """

    path: Path
    regions: tuple[Region, ...]
    series: tuple[str, ...]


def read_rtstruct(path: Path) -> StructureSet:
    """Read a structure set.

    Raises:
        InputError: naming the tag that is missing or senseless.
    """
    dataset = read_dataset(path, _TAGS, stop_before_pixels=True)
    # contours that a shorter file lacks would be missing without a word
    check_whole(path, dataset)
    with quiet():
        frames = list(raw(dataset, "ReferencedFrameOfReferenceSequence") or ())
        uids = {uid for item in frames if (uid := text(item, "FrameOfReferenceUID"))}
        uids = uids or {uid for uid in [text(dataset, "FrameOfReferenceUID")] if uid}
        only = next(iter(uids)) if len(uids) == 1 else ""
        if "ROIContourSequence" not in dataset:
            raise InputError("the structure set has no ROIContourSequence", path=path, code="corrupt")
        drawn: dict[int, Any] = {}
        for item in raw(dataset, "ROIContourSequence") or ():
            number = _number(item, "ReferencedROINumber", path)
            if number in drawn:
                raise InputError(f"ROI {number} stands twice in ROIContourSequence", path=path, code="corrupt")
            drawn[number] = item
        regions = _regions(dataset, drawn, only, path)
    return StructureSet(path, regions, _series(frames))


def _series(frames: list[Any]) -> tuple[str, ...]:
    studies = [study for item in frames for study in raw(item, "RTReferencedStudySequence") or ()]
    series = [one for study in studies for one in raw(study, "RTReferencedSeriesSequence") or ()]
    return tuple(uid for one in series if (uid := text(one, "SeriesInstanceUID")))


def _regions(dataset: Any, drawn: dict[int, Any], only: str, path: Path) -> tuple[Region, ...]:
    codes = _codes(dataset)
    listed: list[tuple[int, str, tuple[str, ...], str]] = []
    for item in raw(dataset, "StructureSetROISequence") or ():
        number = _number(item, "ROINumber", path)
        label = text(item, "ROIName")
        meaning, scheme = codes.get(number, ("", ""))
        uid = text(item, "ReferencedFrameOfReferenceUID") or only
        # the planner's own name goes first: the code is often the same for several regions
        shown = shown_name("", "", label, number)
        if shown != label:
            shown = shown_name(meaning, scheme, "", number)
        listed.append((number, shown, tuple(name for name in (label, meaning) if name), uid))
    if not listed:
        raise InputError("the structure set has no StructureSetROISequence", path=path, code="corrupt")
    listed.sort(key=lambda one: one[0])
    known = [one[0] for one in listed]
    if len(set(known)) != len(known):
        raise InputError("ROINumber stands twice in StructureSetROISequence", path=path, code="corrupt")
    strange = sorted(set(drawn) - set(known))
    if strange:
        raise InputError(
            f"ROI {strange[0]} has contours, but is not in StructureSetROISequence", path=path, code="corrupt"
        )
    shown_names = unlike([one[1] for one in listed], known)
    budget = [MAX_POINTS]
    return tuple(
        Region(Segment(number, name, names), *_contours(drawn.get(number), number, budget, path), uid)
        for (number, _, names, uid), name in zip(listed, shown_names, strict=True)
    )


def _codes(dataset: Any) -> dict[int, tuple[str, str]]:
    """ROINumber → coded meaning and its scheme, where there is one."""
    out: dict[int, tuple[str, str]] = {}
    for item in raw(dataset, "RTROIObservationsSequence") or ():
        number, codes = raw(item, "ReferencedROINumber"), list(raw(item, "RTROIIdentificationCodeSequence") or [])
        if isinstance(number, int) and codes:
            out.setdefault(int(number), (text(codes[0], "CodeMeaning"), text(codes[0], "CodingSchemeDesignator")))
    return out


def _number(item: Any, keyword: str, path: Path) -> int:
    value = raw(item, keyword)
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise InputError(f"{keyword} is missing or not a number", path=path, code="corrupt")
    return int(value)


def _contours(
    item: Any, number: int, budget: list[int], path: Path
) -> tuple[tuple[NDArray[np.float64], ...], int, int]:
    closed: list[NDArray[np.float64]] = []
    other = short = 0
    for contour in (raw(item, "ContourSequence") or ()) if item is not None else ():
        kind = text(contour, "ContourGeometricType").upper()
        if kind not in CLOSED:
            if kind not in ("POINT", "OPEN_PLANAR", "OPEN_NONPLANAR"):
                raise InputError(f"a contour of ROI {number} has no known type", path=path, code="not-a-volume")
            other += 1
            continue
        points = _points(contour, number, path)
        budget[0] -= len(points)
        if budget[0] < 0:
            raise InputError(f"more than {MAX_POINTS} contour points, over the limit", path=path, code="too-large")
        if len(points) < 3:
            short += 1
        else:
            closed.append(points)
    return tuple(closed), other, short


def _flat(contour: Any) -> NDArray[np.float64]:
    """ContourData as numbers, from its text where that has not been parsed: number objects take ten times as long."""
    if "ContourData" not in contour:
        return np.zeros(0)
    value = contour.get_item("ContourData").value
    parts = value.strip(b" \0").split(b"\\") if isinstance(value, bytes) else value or ()
    return np.array([float(part) for part in parts], dtype=np.float64)


def _points(contour: Any, number: int, path: Path) -> NDArray[np.float64]:
    try:
        flat = _flat(contour)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"ContourData of ROI {number} are not numbers", path=path, code="corrupt") from error
    declared = raw(contour, "NumberOfContourPoints")
    if not flat.size or flat.size % 3 or (isinstance(declared, int) and declared * 3 != flat.size):
        raise InputError(
            f"ContourData of ROI {number}: {flat.size} numbers are not three for each of "
            f"{declared if isinstance(declared, int) else 'its'} points",
            path=path,
            code="corrupt",
        )
    if not np.isfinite(flat).all() or np.abs(flat).max() > 1e6:
        raise InputError(f"ContourData of ROI {number} are not finite millimetres", path=path, code="geometry")
    return np.asarray(flat.reshape(-1, 3) @ LPS_TO_RAS[:3, :3].T)
