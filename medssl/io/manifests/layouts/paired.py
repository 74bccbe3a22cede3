"""Two folders with equal names: ``images`` and ``labels``, or ``imagesTr`` and ``labelsTr``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medssl.classes import parse_classes
from medssl.io.folder import entries, scan_files
from medssl.io.manifests.layouts.found import Found, Progress, patient_of, relative, stem_of
from medssl.io.manifests.layouts.loose import LABEL_ENDINGS
from medssl.manifest import Record

PAIRS = (
    ("imagesTr", "labelsTr"),
    ("images", "labels"),
    ("images", "masks"),
    ("image", "label"),
    ("image", "mask"),
    ("img", "label"),
    ("imgs", "masks"),
)


def fits(source: Path, described: dict[str, Any]) -> bool:
    """Whether there is a folder of images with files in it."""
    return _pair(source) is not None


def _pair(source: Path) -> tuple[str, str] | None:
    there = [pair for pair in PAIRS if (source / pair[0]).is_dir() and next(scan_files(source / pair[0]), None)]
    whole = [pair for pair in there if (source / pair[1]).is_dir()]
    return next(iter(whole or there), None)


def find(source: Path, described: dict[str, Any], salt: bytes | None, progress: Progress | None) -> Found:
    """A row for each image; its label has the same name, up to an ending such as ``_label``."""
    found = Found(classes=parse_classes(described.get("labels") or {}, source / "dataset.json"))
    images, labels = _pair(source) or PAIRS[0]
    by_stem = {stem_of(path): path for path in scan_files(source / labels)} if (source / labels).is_dir() else {}
    by_stem = {_bare(stem): path for stem, path in by_stem.items()} | by_stem
    used = set()
    modality = described.get("modality")
    kinds = [*modality.values()] if isinstance(modality, dict) else []
    for path in scan_files(source / images):
        stem = stem_of(path)
        label = by_stem.get(stem)
        used |= {label} if label else set()
        found.records.append(
            Record(
                relative(path, source),
                patient_of(stem),
                label=relative(label, source) if label else "",
                modality=str(kinds[0]) if len(kinds) == 1 else "",
            )
        )
    for path in sorted(set(by_stem.values()) - used):
        found.pass_over(relative(path, source), "a label without an image")
    for other in entries(source):
        if other.is_dir() and other.name not in (images, labels) and next(scan_files(other), None) is not None:
            found.pass_over(other.name, f"scans beside {images}/ and {labels}/ are not taken")
    return found


def _bare(stem: str) -> str:
    return next((stem.removesuffix(ending) for ending in LABEL_ENDINGS if stem.endswith(ending)), stem)
