"""DICOM labels (SEG, RTSTRUCT) on a scan's own grid, or a segmentation on its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medssl.errors import InputError, UsageError
from medssl.io.dicom.files import dicom_files, read_dataset, refuse_bomb
from medssl.io.dicom.tags import text
from medssl.io.files import open_regular
from medssl.io.folder import is_dicom
from medssl.io.labels.references import check_references
from medssl.io.labels.rtstruct import StructureSet, read_rtstruct
from medssl.io.labels.seg import Seg, read_seg
from medssl.io.labels.segments import Choice, Segment, values_of
from medssl.volume import Volume, reorient

LABEL_CLASSES: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
    "1.2.840.10008.5.1.4.1.1.66.7": "seg",
    "1.2.840.10008.5.1.4.1.1.481.3": "rtstruct",
}
"""SOPClassUID → kind."""

NAMES = {"seg": "DICOM segmentation (SEG)", "rtstruct": "RT structure set (RTSTRUCT)"}


def dicom_label(path: Path) -> tuple[Path, str] | None:
    """The label object that a path is, or that a folder holds, with its kind; None where there is none.

    Raises:
        InputError: ``several-volumes``: a folder with several label objects.
    """
    if not path.is_dir():
        kind = _kind(path) if is_dicom(path) else None
        return (path, kind) if kind else None
    found = [(file, kind) for file in dicom_files(path) if is_dicom(file) and (kind := _kind(file))]
    if len(found) > 1:
        names = ", ".join(file.name for file, _ in found[:8])
        raise InputError(
            f"the folder holds {len(found)} label objects, expected one: {names}",
            path=path,
            code="several-volumes",
            hint="name the file",
        )
    return found[0] if found else None


def _kind(path: Path) -> str | None:
    with open_regular(path) as file:
        refuse_bomb(file, path)
    return LABEL_CLASSES.get(text(read_dataset(path, ["SOPClassUID"], stop_before_pixels=True), "SOPClassUID"))


def read_dicom_label(
    path: Path,
    kind: str,
    like: Volume | None,
    *,
    segment: Choice = None,
    classes: Mapping[int, str] | None = None,
    threshold: float | None = None,
    own: bool = False,
) -> Volume:
    """A label object as a label map.

    Args:
        path: the file.
        kind: ``seg`` or ``rtstruct``.
        like: the scan; contours need it, a segmentation lies on its own grid without it.
        segment: one of them alone.
        classes: value → name; segments become the value of the class of their name.
        threshold: from which share on a voxel of a fractional segmentation counts.
        own: a segmentation on its own grid although there is a scan, whose frame of reference it must have.

    Raises:
        InputError: ``label``, or what the file lacks.
        UsageError: contours without a scan.
    """
    if kind == "rtstruct":
        return _contours(path, like, segment, classes)
    seg = read_seg(path)
    values, noted = values_of(seg.segments, path, segment, classes, by_number=True)
    if like is not None:
        noted = (*noted, *check_references([seg.frame_of_reference], seg.series, like, path))
    return _segmentation(seg, None if own else like, values, threshold, noted)


def _segmentation(
    seg: Seg, like: Volume | None, values: dict[int, int], threshold: float | None, noted: tuple[str, ...]
) -> Volume:
    from medssl.io.labels.seg_grid import own_grid
    from medssl.io.labels.seg_paint import painted

    if like is not None:
        data, flags = painted(seg, like.affine, like.shape, values, threshold)
        return Volume(data[None], like.affine, (*noted, *flags), {"modality": "SEG"})
    affine, shape, sheared = own_grid(seg)
    data, flags = painted(seg, affine, shape, values, threshold)
    return Volume(data[None], affine, (*sheared, *noted, *flags), {"modality": "SEG"})


def _contours(path: Path, like: Volume | None, segment: Choice, classes: Mapping[int, str] | None) -> Volume:
    from medssl.io.labels.rtstruct_paint import painted

    if like is None:
        raise UsageError(
            "an RT structure set has contours and no voxels: it needs its scan",
            path=path,
            hint="give like=SCAN or --like SCAN",
        )
    found = read_rtstruct(path)
    values, noted = values_of([region.segment for region in found.regions], path, segment, classes)
    frames = {region.frame_of_reference for region in found.regions if region.segment.number in values}
    noted = (*noted, *check_references(frames, found.series, like, path))
    # in one storage order, so that a centre on an edge falls to the same side however the scan is stored
    canonical = reorient(Volume(np.broadcast_to(np.uint8(0), (1, *like.shape)), like.affine), "LPS")
    data, flags = painted(found, canonical.affine, canonical.shape, values)
    label = reorient(Volume(data[None], canonical.affine), like.orientation)
    return Volume(label.data, like.affine, (*noted, *flags), {"modality": "RTSTRUCT"})


def describe_labels(path: str | Path) -> dict[str, Any]:
    """What a label object holds, from its declarations alone.

    Args:
        path: a DICOM segmentation or RT structure set, or a folder that holds exactly one.

    Returns:
        ``file``, ``kind`` (``seg`` or ``rtstruct``), ``what`` (in words), ``type`` (BINARY, FRACTIONAL, LABELMAP or
        CONTOURS) and ``segments``: ``number``, ``name`` and how many ``planes`` or ``contours`` each has. Names are
        coded meanings or plain words; free text is never shown.

    Raises:
        InputError: it is neither, or what it lacks.
    """
    where = Path(path)
    found = dicom_label(where)
    if found is None:
        raise InputError("expected a DICOM segmentation or RT structure set", path=where, code="not-a-volume")
    file, kind = found
    parts = _described(read_seg(file)) if kind == "seg" else _listed(read_rtstruct(file))
    return {"file": str(file), "kind": kind, "what": NAMES[kind], **parts}


def _described(seg: Seg) -> dict[str, Any]:
    def planes(one: Segment) -> dict[str, Any]:
        alone = {"planes": sum(plane.segment == one.number for plane in seg.planes)}
        return {"number": one.number, "name": one.name, **(alone if seg.kind != "LABELMAP" else {})}

    size = [seg.pixels.columns, seg.pixels.rows]
    return {"type": seg.kind, "matrix": size, "segments": [planes(one) for one in seg.segments]}


def _listed(found: StructureSet) -> dict[str, Any]:
    return {
        "type": "CONTOURS",
        "segments": [
            {"number": one.segment.number, "name": one.segment.name, "contours": len(one.contours)}
            for one in found.regions
        ],
    }


def segments_of(path: Path, kind: str) -> tuple[Segment, ...]:
    """The segments that a label object declares."""
    if kind == "seg":
        return read_seg(path).segments
    return tuple(region.segment for region in read_rtstruct(path).regions)
