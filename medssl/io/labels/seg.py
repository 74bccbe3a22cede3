"""DICOM segmentations (SEG): every plane of every segment at its own place, in the order of the file or any other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom.files import quiet, read_dataset
from medssl.io.dicom.tags import numbers, orientation, pixel_spacing, raw, text
from medssl.io.labels.seg_planes import SegPlanes
from medssl.io.labels.segments import Segment, shown_name, unlike
from medssl.volume import LPS_TO_RAS

TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")
_TAGS = [
    "SOPClassUID",
    "SegmentationType",
    "SegmentationFractionalType",
    "MaximumFractionalValue",
    "SegmentSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ReferencedSeriesSequence",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
]


@dataclass(frozen=True, eq=False)
class Plane:
    """One frame: a segment's part of one plane.

    Args:
        index: of the frame, from 0.
        segment: its number; 0 in a label map, whose planes hold all segments.
        across: ``(4, 3)``: what one column, one row, and the first pixel's centre are in RAS millimetres.
        between_mm: SpacingBetweenSlices, or 0.
        thick_mm: SliceThickness, or 0.
    """

    index: int
    segment: int
    across: NDArray[np.float64]
    between_mm: float
    thick_mm: float


@dataclass(frozen=True, eq=False)
class Seg:
    """A segmentation object.

    Args:
        path: the file.
        kind: ``BINARY``, ``FRACTIONAL`` or ``LABELMAP``.
        segments: in the order of their numbers.
        planes: in the order of the file.
        pixels: their pixels.
        frame_of_reference: FrameOfReferenceUID as it stands, never to be output.
        series: SeriesInstanceUIDs that it refers to, never to be output.
        full: the stored value that means 1 in a fractional one.
        padding: the stored value of a label map that means nothing.
    """

    path: Path
    kind: str
    segments: tuple[Segment, ...]
    planes: tuple[Plane, ...]
    pixels: SegPlanes
    frame_of_reference: str
    series: tuple[str, ...]
    full: int
    padding: int


def read_seg(path: Path) -> Seg:
    """Read what a segmentation file declares; its pixels are decoded later.

    Raises:
        InputError: naming the tag that is missing or senseless.
    """
    dataset = read_dataset(path, _TAGS, stop_before_pixels=False)
    with quiet():
        kind = text(dataset, "SegmentationType").upper()
        if kind not in TYPES:
            raise InputError(f"SegmentationType must be one of {', '.join(TYPES)}", path=path, code="not-a-volume")
        pixels = SegPlanes(dataset, path)
        segments = _segments(dataset, path)
        full, padding = raw(dataset, "MaximumFractionalValue"), raw(dataset, "PixelPaddingValue")
        if kind == "FRACTIONAL" and not (isinstance(full, int) and 1 <= full <= 255):
            raise InputError("MaximumFractionalValue must be from 1 to 255", path=path, code="corrupt")
        return Seg(
            path,
            kind,
            segments,
            _planes(dataset, kind, {one.number for one in segments}, pixels.count, path),
            pixels,
            text(dataset, "FrameOfReferenceUID"),
            tuple(text(item, "SeriesInstanceUID") for item in raw(dataset, "ReferencedSeriesSequence") or ()),
            int(full) if isinstance(full, int) else 1,
            int(padding) if isinstance(padding, int) else 0,
        )


def _segments(dataset: Any, path: Path) -> tuple[Segment, ...]:
    found: list[tuple[int, str, tuple[str, ...]]] = []
    for item in raw(dataset, "SegmentSequence") or ():
        number = raw(item, "SegmentNumber")
        if not isinstance(number, int) or not 0 <= number < 2**16:
            raise InputError("SegmentNumber is missing or not a number of a segment", path=path, code="corrupt")
        codes = list(raw(item, "SegmentedPropertyTypeCodeSequence") or [])
        code = codes[0] if codes else None
        meaning = text(code, "CodeMeaning") if code is not None else ""
        scheme = text(code, "CodingSchemeDesignator") if code is not None else ""
        sides = (raw(code, "SegmentedPropertyTypeModifierCodeSequence") or ()) if code is not None else ()
        full = " ".join([*(text(side, "CodeMeaning") for side in sides), meaning]).strip()
        label = text(item, "SegmentLabel")
        if number:
            found.append((number, shown_name(full, scheme, label, number), (label, full, meaning)))
    if not found:
        raise InputError("the segmentation has no SegmentSequence", path=path, code="corrupt")
    found.sort(key=lambda one: one[0])
    known = [one[0] for one in found]
    if len(set(known)) != len(known):
        raise InputError("SegmentNumber stands twice in SegmentSequence", path=path, code="corrupt")
    shown = unlike([one[1] for one in found], known)
    return tuple(
        Segment(number, name, tuple(other for other in names if other))
        for (number, _, names), name in zip(found, shown, strict=True)
    )


def _planes(dataset: Any, kind: str, known: set[int], count: int, path: Path) -> tuple[Plane, ...]:
    groups = list(raw(dataset, "PerFrameFunctionalGroupsSequence") or [])
    if len(groups) != count:
        raise InputError(
            f"NumberOfFrames is {count}, but there are {len(groups)} functional groups", path=path, code="corrupt"
        )
    shared_items = list(raw(dataset, "SharedFunctionalGroupsSequence") or [])
    shared = shared_items[0] if shared_items else None
    return tuple(_plane(shared, group, index, kind, known, path) for index, group in enumerate(groups))


def _plane(shared: Any, group: Any, index: int, kind: str, known: set[int], path: Path) -> Plane:
    def macro(name: str) -> Any:
        for holder in (group, shared):
            items = raw(holder, name) if holder is not None else None
            if items is not None and len(items):
                return items[0]
        raise InputError(f"frame {index + 1} has no {name}", path=path, code="geometry")

    measures = macro("PixelMeasuresSequence")
    directions = orientation(macro("PlaneOrientationSequence"), path)
    spacing = pixel_spacing(measures, path)
    across = np.zeros((4, 3))
    across[:3, 0] = directions[0] * spacing[1]
    across[:3, 1] = directions[1] * spacing[0]
    across[:3, 2] = numbers(macro("PlanePositionSequence"), "ImagePositionPatient", 3, path)
    across[3, 2] = 1.0
    number = 0
    if kind != "LABELMAP":
        number = raw(macro("SegmentIdentificationSequence"), "ReferencedSegmentNumber")
        if number not in known:
            raise InputError(
                f"frame {index + 1} has a ReferencedSegmentNumber that SegmentSequence lacks", path=path, code="corrupt"
            )
    return Plane(index, int(number), LPS_TO_RAS @ across, *_distances(measures))


def _distances(measures: Any) -> tuple[float, float]:
    out = []
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        try:
            distance = float(raw(measures, keyword) or 0)
        except (TypeError, ValueError):
            distance = 0.0
        out.append(distance if 0 < distance < 1e3 else 0.0)
    return out[0], out[1]
