"""The image planes of one DICOM file, whichever way it says where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medssl.io.dicom.frame import HARD, SOFT, Frame
from medssl.io.dicom.lut import modality_table
from medssl.io.dicom.tags import numbers, orientation, pixel_spacing, rescale, text, whole

RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
NUCLEAR = "1.2.840.10008.5.1.4.1.1.20"
UNITS = frozenset(["HU", "HU_MOD", "US", "OD", "MGML", "BQML", "CNTS", "GY", "RELATIVE", "PROPCNTS", "PCT", "GML"])
"""Units that are kept as a tag; any other could be free text."""

_NUMBERS = frozenset(
    [
        "EchoTime",
        "DiffusionBValue",
        "DiffusionGradientOrientation",
        "InversionTime",
        "FlipAngle",
        "RepetitionTime",
        "TriggerTime",
        "FrameReferenceTime",
    ]
)


def is_mosaic(dataset: Any) -> bool:
    """Whether a picture holds many slices side by side, as Siemens scanners write time series."""
    if "MOSAIC" in text(dataset, "ImageType").upper().split("\\"):
        return True
    creator, count = private(dataset, 0x00190010), private(dataset, 0x0019100A)
    return str(creator).strip() == "SIEMENS MR HEADER" and count is not None


def private(dataset: Any, tag: int) -> Any:
    """The value of a private element, or None."""
    try:
        return dataset[tag].value if tag in dataset else None
    except Exception:
        # an element is parsed when it is first used, and a hostile one provokes anything
        return None


def single_frame(dataset: Any, path: Path) -> Frame:
    """The one plane of a file that holds one picture."""
    return Frame(
        path,
        None,
        (whole(dataset, "Rows", path), whole(dataset, "Columns", path)),
        numbers(dataset, "ImagePositionPatient", 3, path),
        orientation(dataset, path),
        pixel_spacing(dataset, path),
        rescale(dataset, path),
        hard_values(dataset),
        soft_values(dataset),
        modality_of(dataset),
        inverted(dataset),
        text(dataset, "StudyInstanceUID"),
        modality_table(dataset, path),
        instance=text(dataset, "SOPInstanceUID"),
        unit=unit_of(dataset),
        thickness=thickness_of(dataset),
    )


def hard_values(dataset: Any) -> tuple[str, ...]:
    """Values of ``HARD``, each written alike."""
    return tuple(_alike(dataset, keyword) for keyword in HARD)


def soft_values(dataset: Any) -> tuple[str, ...]:
    """Values of ``SOFT``, each written alike."""
    return tuple(_alike(dataset, keyword) for keyword in SOFT)


def _alike(dataset: Any, keyword: str) -> str:
    value = text(dataset, keyword)
    if keyword == "ImageType":
        return value.upper().rstrip("\\")
    return plain_number(value) if keyword in _NUMBERS else value


def plain_number(value: str) -> str:
    r"""Numbers in one spelling, within six digits; another text as it stands.

    Example:
        >>> plain_number("+4.60"), plain_number("46e-1"), plain_number("0.0\\1"), plain_number("b")
        ('4.6', '4.6', '0\\1', 'b')
    """
    try:
        # adding 0 makes one zero of two
        return "\\".join(f"{float(part) + 0:.6g}" for part in value.split("\\")) if value else ""
    except ValueError:
        return value


def modality_of(dataset: Any) -> str:
    """The modality, if it looks like one: never free text."""
    value = text(dataset, "Modality").upper()
    return value if value.isalnum() and len(value) <= 8 else ""


def inverted(dataset: Any) -> bool:
    """Whether low values are shown white."""
    return text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1"


def thickness_of(item: Any) -> float:
    """SliceThickness, or 0 where it is absent or senseless: it is no part of the geometry."""
    try:
        value = float(text(item, "SliceThickness") or 0)
    except ValueError:
        return 0.0
    return value if 0 < value < float("inf") else 0.0


def unit_of(dataset: Any) -> str:
    """What the values are, as far as a tag of fixed terms says: never free text."""
    value = (text(dataset, "RescaleType") or text(dataset, "Units")).upper()
    return value if value in UNITS else ""
