"""Which DICOM objects are volumes of one channel; every other is refused, or passed over, by the name of its kind."""

from __future__ import annotations

from typing import Any

from medssl.io.dicom_tags import raw, text

OTHER_OBJECTS: dict[str, str] = {
    "1.2.840.10008.5.1.4.1.1.66": "a registration or raw data object",
    "1.2.840.10008.5.1.4.1.1.66.1": "a spatial registration",
    "1.2.840.10008.5.1.4.1.1.66.2": "spatial fiducials",
    "1.2.840.10008.5.1.4.1.1.66.3": "a deformable registration",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation (SEG)",
    "1.2.840.10008.5.1.4.1.1.66.5": "a surface segmentation",
    "1.2.840.10008.5.1.4.1.1.66.6": "a tractography result",
    "1.2.840.10008.5.1.4.1.1.67": "a real world value mapping",
    "1.2.840.10008.5.1.4.1.1.481.1": "an RT image",
    "1.2.840.10008.5.1.4.1.1.481.2": "an RT dose",
    "1.2.840.10008.5.1.4.1.1.481.3": "an RT structure set (RTSTRUCT)",
    "1.2.840.10008.5.1.4.1.1.481.5": "an RT plan",
    "1.2.840.10008.5.1.4.1.1.481.8": "an RT ion plan",
    "1.2.840.10008.1.3.10": "a DICOMDIR",
}
_OTHER_PREFIXES = {
    "1.2.840.10008.5.1.4.1.1.88.": "a structured report (SR)",
    "1.2.840.10008.5.1.4.1.1.11.": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.9.": "a waveform",
    "1.2.840.10008.5.1.4.1.1.104.": "an encapsulated document",
    "1.2.840.10008.5.1.4.1.1.481.": "an RT object",
    "1.2.840.10008.5.1.4.1.1.68.": "a surface scan",
}
_FLAT_PREFIXES = {
    "1.2.840.10008.5.1.4.1.1.1": "a 2D projection image",
    "1.2.840.10008.5.1.4.1.1.6": "an ultrasound image",
    "1.2.840.10008.5.1.4.1.1.3": "an ultrasound multi-frame image",
    "1.2.840.10008.5.1.4.1.1.12": "a 2D X-ray image",
    "1.2.840.10008.5.1.4.1.1.77": "a visible light or ophthalmic image",
}


def other_object(dataset: Any) -> str | None:
    """The kind's name when the object is not an image of the body at all, else None."""
    uid = text(dataset, "SOPClassUID")
    if uid in OTHER_OBJECTS:
        return OTHER_OBJECTS[uid]
    return next((name for prefix, name in _OTHER_PREFIXES.items() if uid.startswith(prefix)), None)


def unfit_image(dataset: Any) -> str | None:
    """Why an image cannot be part of a volume of one channel, or None."""
    photometric = text(dataset, "PhotometricInterpretation").upper()
    if photometric.startswith("PALETTE"):
        return "a colour image (palette)"
    samples = raw(dataset, "SamplesPerPixel") or 1
    if samples != 1 or photometric.startswith(("RGB", "YBR", "HSV", "ARGB", "CMYK")):
        return f"a colour image ({photometric or 'several samples a pixel'})"
    image_type = text(dataset, "ImageType").upper().split("\\")
    if "MOSAIC" in image_type:
        return "a Siemens mosaic (many slices tiled into one picture)"
    if text(dataset, "ComplexImageComponent").upper() in ("MIXED", "COMPLEX"):
        return "a complex image"
    uid = text(dataset, "SOPClassUID")
    if "PixelDataProviderURL" in dataset:
        return "an image whose pixels lie elsewhere"
    flat = next(
        (name for prefix, name in _FLAT_PREFIXES.items() if uid == prefix or uid.startswith(prefix + ".")), None
    )
    # tomosynthesis (…1.13.1.3 and …1.1.1.13) is a stack although it stands among the projections
    return None if flat and uid.startswith("1.2.840.10008.5.1.4.1.1.13.1.") else flat
