"""No layout that is known: every scan file, labels by their names' endings, and every DICOM volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medssl.io.census import take_census
from medssl.io.manifests.layouts.dicom import add_dicom
from medssl.io.manifests.layouts.found import Found, Progress, patient_of, relative, stem_of
from medssl.manifest import Record

LABEL_ENDINGS = (
    "_label",
    "-label",
    "_labels",
    "-labels",
    "_seg",
    "-seg",
    "_segmentation",
    "-segmentation",
    "_mask",
    "-mask",
    "_gt",
    "_lesion",
    "_labelmap",
)
_IMAGE_ENDINGS = ("_image", "-image", "_img", "-img", "_scan", "")
_LABEL_STEMS = ("label", "labels", "seg", "segmentation", "mask", "gt", "labelmap")
_IMAGE_STEMS = ("image", "img", "scan", "ct", "mr", "mri", "volume")


def fits(source: Path, described: dict[str, Any]) -> bool:
    """Any folder."""
    return True


def find(source: Path, described: dict[str, Any], salt: bytes | None, progress: Progress | None) -> Found:
    """A row for each scan file that is no label, and for each DICOM volume."""
    found = Found()
    census = take_census(source)
    labels = {(path.parent, base): path for path in census.scans if (base := _label_base(path)) is not None}
    used: set[Path] = set()
    every = set(labels.values())
    for path in census.scans:
        if path in every:
            continue
        base, label = _label_of(path, labels)
        used |= {label} if label else set()
        patient = patient_of(path.parent.name if not base and path.parent != source else base or stem_of(path))
        label_path = relative(label, source) if label else ""
        found.records.append(Record(relative(path, source), patient, label=label_path))
    for path in sorted(every - used):
        found.pass_over(relative(path, source), "a label without an image")
    for error in census.broken:
        where = Path(error.path) if error.path else source
        name = relative(where, source) if where.is_relative_to(source) else where.name
        found.pass_over(name, f"{error.reason} [{error.code}]")
    add_dicom(census.dicom, source, found, salt, progress)
    return found


def _label_of(path: Path, labels: dict[tuple[Path, str], Path]) -> tuple[str, Path | None]:
    """What an image's name says of the case, and the label map beside it that says the same."""
    stem = stem_of(path)
    bases = [stem.removesuffix(ending) for ending in _IMAGE_ENDINGS if stem.endswith(ending)]
    if stem.lower() in _IMAGE_STEMS:
        # a folder a case: image.nii.gz beside label.nii.gz
        bases = ["", *bases]
    label = next((labels[path.parent, base] for base in bases if (path.parent, base) in labels), None)
    return bases[0], label


def _label_base(path: Path) -> str | None:
    stem = stem_of(path)
    if stem.lower() in _LABEL_STEMS:
        return ""
    return next((stem[: len(stem) - len(ending)] for ending in LABEL_ENDINGS if stem.lower().endswith(ending)), None)
