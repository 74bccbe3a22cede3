"""Which DICOM objects are volumes of one channel; every other is refused, or passed over, by the name of its kind."""

from __future__ import annotations

from typing import Any

from medssl.io.dicom.tags import raw, text

_STORAGE = "1.2.840.10008.5.1.4.1.1"

OTHER_OBJECTS: dict[str, str] = {
    f"{_STORAGE}.4.2": "an MR spectroscopy",
    f"{_STORAGE}.66": "a registration or raw data object",
    f"{_STORAGE}.66.1": "a spatial registration",
    f"{_STORAGE}.66.2": "spatial fiducials",
    f"{_STORAGE}.66.3": "a deformable registration",
    f"{_STORAGE}.66.4": "a segmentation (SEG), which is a label",
    f"{_STORAGE}.66.5": "a surface segmentation",
    f"{_STORAGE}.66.6": "a tractography result",
    f"{_STORAGE}.66.7": "a label map segmentation (SEG), which is a label",
    f"{_STORAGE}.66.8": "a height map segmentation",
    f"{_STORAGE}.67": "a real world value mapping",
    f"{_STORAGE}.88.59": "a key object selection (KO)",
    f"{_STORAGE}.104.1": "an encapsulated PDF document",
    f"{_STORAGE}.104.2": "an encapsulated CDA document",
    f"{_STORAGE}.104.3": "an encapsulated STL model",
    f"{_STORAGE}.481.1": "an RT image (a 2D projection)",
    f"{_STORAGE}.481.3": "an RT structure set (RTSTRUCT), which is a label",
    f"{_STORAGE}.481.5": "an RT plan",
    f"{_STORAGE}.481.8": "an RT ion plan",
    "1.2.840.10008.1.3.10": "a DICOMDIR",
}
_OTHER_PREFIXES = {
    f"{_STORAGE}.88.": "a structured report (SR)",
    f"{_STORAGE}.11.": "a presentation state (PR)",
    f"{_STORAGE}.9.": "a waveform",
    f"{_STORAGE}.104.": "an encapsulated document",
    f"{_STORAGE}.68.": "a surface scan",
    f"{_STORAGE}.78.": "an ophthalmic measurement",
    f"{_STORAGE}.79.": "an ophthalmic report",
    f"{_STORAGE}.200.": "a scan protocol",
    "1.2.840.10008.5.1.4.38.": "a hanging protocol",
    "1.2.840.10008.5.1.4.39.": "a colour palette",
    "1.2.840.10008.5.1.4.34.": "an RT treatment record or instruction",
}
_RT_DOSE = f"{_STORAGE}.481.2"
_RT = f"{_STORAGE}.481."

_FLAT: dict[str, str] = {
    f"{_STORAGE}.77.1.6": "a whole-slide microscopy image",
    f"{_STORAGE}.6.2": "an ultrasound volume, whose geometry is not the body's",
    f"{_STORAGE}.13.1.4": "a 2D breast projection image",
    f"{_STORAGE}.13.1.5": "a 2D breast projection image",
}
_FLAT_PREFIXES: dict[str, str] = {
    f"{_STORAGE}.1": "a 2D projection image (CR, DX, MG)",
    f"{_STORAGE}.6": "an ultrasound image",
    f"{_STORAGE}.3": "an ultrasound multi-frame image",
    f"{_STORAGE}.12": "a 2D X-ray image (XA, RF)",
    f"{_STORAGE}.14": "an intravascular image",
    f"{_STORAGE}.77": "a visible light or ophthalmic image",
}
_OPHTHALMIC_TOMOGRAPHY = f"{_STORAGE}.77.1.5.4"
_SECONDARY_CAPTURE = f"{_STORAGE}.7"
_VIDEO = tuple(f"1.2.840.10008.1.2.4.10{n}" for n in range(9))
_COMPONENTS = ("MAGNITUDE", "PHASE")


def other_object(dataset: Any) -> str | None:
    """The kind's name when the object is not an image of the body at all, else None."""
    # a directory has no class of its own but in the file's meta information
    uid = text(dataset, "SOPClassUID") or text(getattr(dataset, "file_meta", {}), "MediaStorageSOPClassUID")
    if uid in OTHER_OBJECTS:
        return OTHER_OBJECTS[uid]
    found = next((name for prefix, name in _OTHER_PREFIXES.items() if uid.startswith(prefix)), None)
    if found is None and uid.startswith(_RT) and uid != _RT_DOSE:
        return "an RT object without an image volume"
    return found


def unfit_image(dataset: Any) -> str | None:
    """Why an image cannot be part of a volume of one channel, or None."""
    if "Rows" not in dataset and "Columns" not in dataset:
        return "a DICOM object without an image (no Rows and no Columns)"
    photometric = text(dataset, "PhotometricInterpretation").upper()
    if photometric.startswith("PALETTE"):
        return "a colour image (palette)"
    samples = raw(dataset, "SamplesPerPixel") or 1
    if samples != 1 or photometric.startswith(("RGB", "YBR", "HSV", "ARGB", "CMYK")):
        return f"a colour image ({photometric or 'several samples a pixel'})"
    if "PixelDataProviderURL" in dataset:
        return "an image whose pixels lie elsewhere"
    enhanced = "PerFrameFunctionalGroupsSequence" in dataset
    if text(getattr(dataset, "file_meta", {}), "TransferSyntaxUID").startswith(_VIDEO):
        return "a video"
    # an enhanced object may mix components, and then says of every frame which one it is
    if not (enhanced and text(dataset, "ComplexImageComponent").upper() == "MIXED"):
        component = unfit_component(dataset)
        if component:
            return component
    return _flat(dataset, enhanced)


def unfit_component(item: Any) -> str | None:
    """Why a picture of complex numbers is no volume: only magnitude and phase stand for themselves."""
    component = text(item, "ComplexImageComponent").upper()
    if not component or component in _COMPONENTS:
        return None
    if component in ("REAL", "IMAGINARY"):
        return f"a complex image ({component.lower()} part)"
    return "a complex image (mixed parts)"


def _flat(dataset: Any, enhanced: bool) -> str | None:
    uid = text(dataset, "SOPClassUID")
    if uid == _OPHTHALMIC_TOMOGRAPHY and enhanced:
        return None
    if uid in _FLAT:
        return _FLAT[uid]
    if uid == _SECONDARY_CAPTURE or uid.startswith(f"{_SECONDARY_CAPTURE}."):
        # workstations store derived volumes so, with the geometry of the scan
        placed = enhanced or all(
            raw(dataset, keyword) is not None
            for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        )
        return None if placed else "a secondary capture (a picture of a screen or page) without geometry"
    return next(
        (name for prefix, name in _FLAT_PREFIXES.items() if uid == prefix or uid.startswith(f"{prefix}.")), None
    )
