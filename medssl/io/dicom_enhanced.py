"""Frames of enhanced multi-frame DICOM, placed by their functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medssl.errors import InputError
from medssl.io.dicom_frames import HARD, SOFT, Frame
from medssl.io.dicom_planes import modality_of
from medssl.io.dicom_tags import numbers, orientation, pixel_spacing, raw, rescale, text, whole

_SEPARATING = {
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRDiffusionSequence": ("DiffusionBValue",),
    "FrameContentSequence": ("StackID",),
}
_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence", "XAXRFFrameTypeSequence")


def enhanced_frames(dataset: Any, path: Path) -> list[Frame]:
    """One record a frame.

    Raises:
        InputError: the number of functional groups is not the number of frames, or a frame has no geometry.
    """
    groups = dataset.PerFrameFunctionalGroupsSequence
    count = whole(dataset, "NumberOfFrames", path)
    if len(groups) != count:
        raise InputError(
            f"NumberOfFrames is {count}, but there are {len(groups)} functional groups", path=path, code="corrupt"
        )
    shared_items = raw(dataset, "SharedFunctionalGroupsSequence") or []
    shared = shared_items[0] if len(shared_items) else None
    return [_frame(dataset, shared, group, index, path) for index, group in enumerate(groups)]


def _frame(dataset: Any, shared: Any, group: Any, index: int, path: Path) -> Frame:
    def macro(name: str, needed: bool = False) -> Any:
        for holder in (group, shared):
            items = raw(holder, name) if holder is not None else None
            if items is not None and len(items):
                return items[0]
        if needed:
            raise InputError(f"frame {index + 1} has no {name}", path=path, code="geometry")
        return None

    values = macro("PixelValueTransformationSequence")
    hard = [text(dataset, keyword) for keyword in HARD]
    for name, keywords in _SEPARATING.items():
        item = macro(name)
        hard += [text(item, keyword) if item is not None else "" for keyword in keywords]
    for name in _TYPES:
        item = macro(name)
        hard.append(text(item, "FrameType") if item is not None else "")
    content = macro("FrameContentSequence")
    soft = [text(dataset, keyword) for keyword in SOFT]
    for keyword in ("TemporalPositionIndex", "FrameAcquisitionNumber"):
        soft.append(text(content, keyword) if content is not None else "")
    trigger = macro("CardiacSynchronizationSequence")
    soft.append(text(trigger, "NominalCardiacTriggerDelayTime") if trigger is not None else "")
    return Frame(
        path,
        index,
        (whole(dataset, "Rows", path), whole(dataset, "Columns", path)),
        numbers(macro("PlanePositionSequence", True), "ImagePositionPatient", 3, path),
        orientation(macro("PlaneOrientationSequence", True), path),
        pixel_spacing(macro("PixelMeasuresSequence", True), path),
        rescale(values if values is not None else dataset, path),
        tuple(hard),
        tuple(soft),
        modality_of(dataset),
        text(dataset, "PhotometricInterpretation") == "MONOCHROME1",
        text(dataset, "StudyInstanceUID"),
    )
