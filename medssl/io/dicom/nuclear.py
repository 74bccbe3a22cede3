"""Reconstructed nuclear medicine volumes (PS3.3 C.8.4.15): one position, frames stacked along the normal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medssl.errors import InputError
from medssl.io.dicom.files import read_dataset
from medssl.io.dicom.frame import Frame
from medssl.io.dicom.lut import modality_table
from medssl.io.dicom.planes import hard_values, inverted, modality_of, soft_values, unit_of
from medssl.io.dicom.tags import numbers, orientation, pixel_spacing, raw, rescale, text, whole

_VECTORS = (
    "EnergyWindowVector",
    "DetectorVector",
    "PhaseVector",
    "RotationVector",
    "RRIntervalVector",
    "TimeSlotVector",
    "TimeSliceVector",
    "AngularViewVector",
)
_TAGS = (
    *_VECTORS,
    "NumberOfFrames",
    "NumberOfSlices",
    "SliceVector",
    "SpacingBetweenSlices",
    "DetectorInformationSequence",
)
_RECONSTRUCTED = ("RECON TOMO", "RECON GATED TOMO")


def nuclear_frames(dataset: Any, path: Path) -> list[Frame]:
    """The planes of a reconstruction; gates, energy windows and detectors are volumes of their own.

    Raises:
        InputError: it is not a reconstruction, or position, orientation or spacing is missing.
    """
    kinds = text(dataset, "ImageType").upper().split("\\")
    if not any(kind in _RECONSTRUCTED for kind in kinds):
        raise InputError(
            "a nuclear medicine image that is no reconstruction (planar views or projections)",
            path=path,
            code="not-a-volume",
        )
    more = read_dataset(path, _TAGS, stop_before_pixels=True)
    detectors = raw(more, "DetectorInformationSequence")
    if detectors is None or not len(detectors):
        raise InputError("DetectorInformationSequence is missing", path=path, code="geometry")
    # a tag of the detector's own item goes before one that stands beside it
    place = next((one for one in (detectors[0], dataset) if "ImagePositionPatient" in one), detectors[0])
    turn = next((one for one in (detectors[0], dataset) if "ImageOrientationPatient" in one), detectors[0])
    directions = orientation(turn, path)
    count = whole(more, "NumberOfFrames", path)
    slices = numbers(more, "SliceVector", count, path)
    apart = float(numbers(more, "SpacingBetweenSlices", 1, path)[0])
    if apart == 0:
        raise InputError("SpacingBetweenSlices is 0", path=path, code="geometry")
    # its sign tells the side: behind the first slice is along the normal (PS3.3 table C.8-15)
    step = np.cross(directions[0], directions[1]) * apart
    vectors = [numbers(more, name, count, path) for name in _VECTORS if raw(more, name) is not None]
    first = Frame(
        path,
        None,
        (whole(dataset, "Rows", path), whole(dataset, "Columns", path)),
        numbers(place, "ImagePositionPatient", 3, path),
        directions,
        pixel_spacing(dataset, path),
        rescale(dataset, path),
        (*hard_values(dataset), f"nuclear {text(dataset, 'SOPInstanceUID') or path}"),
        soft_values(dataset),
        modality_of(dataset),
        inverted(dataset),
        text(dataset, "StudyInstanceUID"),
        modality_table(dataset, path),
        instance=text(dataset, "SOPInstanceUID"),
        unit=unit_of(dataset),
    )
    return [
        replace(
            first,
            index=k,
            position=first.position + (slices[k] - 1) * step,
            hard=(*first.hard, *(f"{vector[k]:g}" for vector in vectors)),
        )
        for k in range(count)
    ]
