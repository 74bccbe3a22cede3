"""Frames of enhanced multi-frame DICOM, placed by their functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medssl.errors import InputError
from medssl.io.dicom.concatenation import Part
from medssl.io.dicom.frame import Frame
from medssl.io.dicom.kinds import unfit_component
from medssl.io.dicom.lut import modality_table
from medssl.io.dicom.planes import hard_values, inverted, modality_of, plain_number, soft_values, thickness_of, unit_of
from medssl.io.dicom.tags import numbers, orientation, pixel_spacing, raw, rescale, text, whole

_SEPARATING = {
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRDiffusionSequence": ("DiffusionBValue", "DiffusionDirectionality"),
    "FrameContentSequence": ("StackID",),
}
_TYPES = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XAXRFFrameTypeSequence",
    "XRay3DFrameTypeSequence",
    "OphthalmicTomographyImageFrameTypeSequence",
)
_TIMES = {
    "FrameContentSequence": ("TemporalPositionIndex", "FrameAcquisitionNumber"),
    "TemporalPositionSequence": ("TemporalPositionTimeOffset",),
    "CardiacSynchronizationSequence": ("NominalCardiacTriggerDelayTime", "NominalPercentageOfCardiacPhase"),
    "RespiratorySynchronizationSequence": ("NominalRespiratoryTriggerDelayTime", "NominalPercentageOfRespiratoryPhase"),
    "MRModifierSequence": ("InversionTimes",),
    "MRTimingAndRelatedParametersSequence": ("FlipAngle", "RepetitionTime"),
}

Macro = Callable[[str], Any]


def enhanced_frames(dataset: Any, path: Path) -> list[Frame]:
    """One record a frame.

    Raises:
        InputError: the number of functional groups is not the number of frames, or a frame has no geometry; the
            frame is named by its number from 1.
    """
    groups = dataset.PerFrameFunctionalGroupsSequence
    count = whole(dataset, "NumberOfFrames", path)
    if len(groups) != count:
        raise InputError(
            f"NumberOfFrames is {count}, but there are {len(groups)} functional groups", path=path, code="corrupt"
        )
    shared_items = raw(dataset, "SharedFunctionalGroupsSequence") or []
    shared = shared_items[0] if len(shared_items) else None
    macros = [_macros(group, shared) for group in groups]
    _check_values(macros, path)
    out = []
    for index, macro in enumerate(macros):
        try:
            out.append(_frame(dataset, macro, index, path))
        except InputError as error:
            reason = f"frame {index + 1}: {error.reason}"
            raise InputError(reason, path=path, code=error.code, hint=error.hint) from error
    return out


def _macros(group: Any, shared: Any) -> Macro:
    def macro(name: str) -> Any:
        for holder in (group, shared):
            items = raw(holder, name) if holder is not None else None
            if items is not None and len(items):
                return items[0]
        return None

    return macro


def _check_values(macros: list[Macro], path: Path) -> None:
    """Either every frame says how its values are scaled, or none does."""
    has = [macro("PixelValueTransformationSequence") is not None for macro in macros]
    if any(has) and not all(has):
        raise InputError(
            f"frame {has.index(False) + 1} has no PixelValueTransformationSequence, others have",
            path=path,
            code="values",
        )


def _frame(dataset: Any, macro: Macro, index: int, path: Path) -> Frame:
    values = macro("PixelValueTransformationSequence")
    frame_type = next((item for item in map(macro, _TYPES) if item is not None), None)
    return Frame(
        path,
        index,
        (whole(dataset, "Rows", path), whole(dataset, "Columns", path)),
        numbers(_needed(macro, "PlanePositionSequence", path), "ImagePositionPatient", 3, path),
        orientation(_needed(macro, "PlaneOrientationSequence", path), path),
        pixel_spacing(_needed(macro, "PixelMeasuresSequence", path), path),
        rescale(values if values is not None else dataset, path),
        (*hard_values(dataset), *_hard(macro, frame_type)),
        (*soft_values(dataset), *_soft(macro)),
        modality_of(dataset),
        inverted(dataset),
        text(dataset, "StudyInstanceUID"),
        # a table in the place of the slope is not allowed in these objects, but some writers put one at the top
        modality_table(dataset, path) if values is None else None,
        instance=text(dataset, "SOPInstanceUID"),
        unit=unit_of(values if values is not None else dataset),
        unfit=(unfit_component(frame_type) if frame_type is not None else None) or "",
        part=_part(dataset, path),
        thickness=thickness_of(macro("PixelMeasuresSequence")),
    )


def _part(dataset: Any, path: Path) -> Part | None:
    uid = text(dataset, "ConcatenationUID")
    if not uid:
        return None
    number = whole(dataset, "InConcatenationNumber", path)
    total = raw(dataset, "InConcatenationTotalNumber")
    return Part(uid, number, total if isinstance(total, int) else 0)


def _needed(macro: Macro, name: str, path: Path) -> Any:
    item = macro(name)
    if item is None:
        raise InputError(f"no {name}", path=path, code="geometry")
    return item


def _hard(macro: Macro, frame_type: Any) -> list[str]:
    out = [_value(macro(name), keyword) for name, keywords in _SEPARATING.items() for keyword in keywords]
    return [*out, _value(frame_type, "FrameType"), _value(frame_type, "ComplexImageComponent")]


def _soft(macro: Macro) -> list[str]:
    out = [_value(macro(name), keyword) for name, keywords in _TIMES.items() for keyword in keywords]
    diffusion = macro("MRDiffusionSequence")
    directions = raw(diffusion, "DiffusionGradientDirectionSequence") if diffusion is not None else None
    out.append(_value(directions[0] if directions else None, "DiffusionGradientOrientation"))
    content = macro("FrameContentSequence")
    indices = raw(content, "DimensionIndexValues") if content is not None else None
    parts = [indices] if isinstance(indices, int) else list(indices or [])
    # the standard's own index of what differs between frames; the one of the place in the stack parts nothing
    return [*out, *(str(part) for part in parts[:8]), *[""] * (8 - len(parts))]


def _value(item: Any, keyword: str) -> str:
    return plain_number(text(item, keyword)) if item is not None else ""
