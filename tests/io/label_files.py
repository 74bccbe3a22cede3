"""DICOM labels written by hand, for scans that ``scans.write_slices`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FRAME, SERIES = "1.2.3.5", "1.2.3.4"


def item(**tags: Any) -> Any:
    """A data set with these tags."""
    from pydicom.dataset import Dataset

    out = Dataset()
    for keyword, value in tags.items():
        setattr(out, keyword, value)
    return out


def code(value: str, scheme: str, meaning: str) -> Any:
    """A coded concept."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _base(sop_class: str, path: Path) -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data = item(SOPClassUID=sop_class, SOPInstanceUID="1.2.3.77", PatientID="CANARY-MRN-000451")
    data.PatientName, data.StudyInstanceUID, data.SeriesInstanceUID = "CANARY^PHI", "1.2.3", "1.2.3.78"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = sop_class
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    return data


def write_seg(
    path: Path,
    frames: list[tuple[int, tuple[float, float, float], np.ndarray]],
    kind: str = "BINARY",
    directions: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float] = (1.9, 0.7),
    names: dict[int, Any] | None = None,
    change: Any = None,
) -> Path:
    """A segmentation.

    Args:
        path: the file.
        frames: segment number, LPS position, pixels ``(columns, rows)`` each.
        kind: SegmentationType.
        directions: ImageOrientationPatient.
        spacing: PixelSpacing.
        names: segment number → SegmentLabel, or (SegmentLabel, code).
        change: called with the data set before writing.
    """
    data = _base("1.2.840.10008.5.1.4.1.1.66.7" if kind == "LABELMAP" else "1.2.840.10008.5.1.4.1.1.66.4", path)
    data.Modality, data.SegmentationType, data.FrameOfReferenceUID = "SEG", kind, FRAME
    data.ReferencedSeriesSequence = [item(SeriesInstanceUID=SERIES)]
    columns, rows = frames[0][2].shape
    data.Rows, data.Columns, data.NumberOfFrames, data.SamplesPerPixel = rows, columns, len(frames), 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
    bits = {"BINARY": 1, "FRACTIONAL": 8, "LABELMAP": 8}[kind]
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit = bits - 1
    if kind == "FRACTIONAL":
        data.SegmentationFractionalType, data.MaximumFractionalValue = "PROBABILITY", 200
    segments = []
    for number, name in (names or {n: f"CANARY {n}" for n in sorted({n for n, _, _ in frames} - {0})}).items():
        label, concept = name if isinstance(name, tuple) else (name, code("85756007", "SCT", "Tissue"))
        segments.append(item(SegmentNumber=number, SegmentLabel=label, SegmentAlgorithmType="MANUAL"))
        segments[-1].SegmentedPropertyTypeCodeSequence = [concept]
    data.SegmentSequence = segments
    shared = item(PlaneOrientationSequence=[item(ImageOrientationPatient=list(directions))])
    shared.PixelMeasuresSequence = [item(PixelSpacing=list(spacing), SliceThickness=3.0, SpacingBetweenSlices=3.0)]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number, position, _ in frames:
        group = item(PlanePositionSequence=[item(ImagePositionPatient=list(position))])
        if number:
            group.SegmentIdentificationSequence = [item(ReferencedSegmentNumber=number)]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    stored = np.stack([pixels.T for _, _, pixels in frames])
    packed = np.packbits(stored.ravel().astype(bool), bitorder="little") if bits == 1 else stored.astype(np.uint8)
    raw = packed.tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)
    data["PixelData"].VR = "OB"
    if change is not None:
        change(data)
    data.save_as(path, enforce_file_format=True)
    return path


def write_rtstruct(path: Path, regions: dict[int, list[np.ndarray]], names: Any = None, change: Any = None) -> Path:
    """A structure set.

    Args:
        path: the file.
        regions: ROI number → contours, ``(points, 3)`` LPS millimetres; one point is a POINT.
        names: ROI number → ROIName.
        change: called with the data set before writing.
    """
    data = _base("1.2.840.10008.5.1.4.1.1.481.3", path)
    data.Modality, data.StructureSetLabel = "RTSTRUCT", "CANARY"
    series = item(SeriesInstanceUID=SERIES)
    study = item(ReferencedSOPInstanceUID="1.2.3", RTReferencedSeriesSequence=[series])
    data.ReferencedFrameOfReferenceSequence = [item(FrameOfReferenceUID=FRAME, RTReferencedStudySequence=[study])]
    names = names or {number: f"CANARY {number}" for number in regions}
    data.StructureSetROISequence = [
        item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=FRAME) for number, name in names.items()
    ]
    data.ROIContourSequence = []
    for number, contours in regions.items():
        found = []
        for points in contours:
            kind = "POINT" if len(points) == 1 else "CLOSED_PLANAR"
            found.append(item(ContourGeometricType=kind, NumberOfContourPoints=len(points)))
            found[-1].ContourData = [f"{value:.6f}"[:16] for value in np.asarray(points, dtype=float).ravel()]
        data.ROIContourSequence.append(item(ReferencedROINumber=number, ContourSequence=found))
    if change is not None:
        change(data)
    data.save_as(path, enforce_file_format=True)
    return path
