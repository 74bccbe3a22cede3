"""A manifest made from a folder: Decathlon, nnU-Net, ``images``/``labels``, or every scan and DICOM series found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medssl.classes import parse_classes, read_json, write_classes
from medssl.errors import InputError, MedsslError, UsageError
from medssl.identifiers import hashed
from medssl.io.folder import dicom_folders, entries, scan_files
from medssl.io.sniff import suffix_of
from medssl.manifest import Manifest, Record

Progress = Callable[[int, int, str], None]

_PAIRED = (("imagesTr", "labelsTr"), ("images", "labels"))
_LABEL_ENDINGS = ("_label", "-label", "_labels", "_seg", "-seg", "_segmentation", "_mask", "-mask")
_IMAGE_ENDINGS = ("_image", "-image", "_img", "")


@dataclass
class Found:
    """Rows as they are found, relative to the data's folder."""

    records: list[Record] = field(default_factory=list)
    classes: dict[int, str] = field(default_factory=dict)
    passed_over: list[dict[str, str]] = field(default_factory=list)


def build_manifest(
    folder: str | Path, out: str | Path, *, salt: bytes | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Write a manifest of a folder's scans, and a card with the classes where they are known.

    Patient ids come from DICOM (as keyed hashes) or else from file names: look whether they fit before splitting.
    Image paths are relative to the manifest's own folder where the data lie below it, else to ``folder``, which
    then has to be given as the root.

    Args:
        folder: where the data lie.
        out: the ``.csv`` to write.
        salt: key of the hashes; the user's own by default.
        progress: called with done, total and what is being done.

    Returns:
        ``manifest``, ``root``, ``rows``, ``patients``, ``labels``, ``classes`` and ``passed_over``.

    Raises:
        InputError: the folder does not exist or holds no scan that can be used.
    """
    source, target = Path(folder), Path(out)
    if not source.is_dir():
        if source.exists():
            raise UsageError("expected a folder of scans, got a file", path=source)
        raise InputError("the data folder does not exist", path=source, code="missing")
    if target.suffix != ".csv" or not target.parent.is_dir() or target.is_dir():
        raise UsageError("expected the name of a .csv file in a folder that exists", path=target)
    found = _find(source, salt, progress)
    if not found.records:
        raise InputError("no scans in the folder that can be used", path=source, code="missing")
    root, prefix = source, ""
    if source.resolve().is_relative_to(target.parent.resolve()):
        root = target.parent
        prefix = source.resolve().relative_to(target.parent.resolve()).as_posix().removeprefix(".")
    records = tuple(_below(record, prefix) for record in found.records)
    Manifest(target, root, records, found.classes).write(target)
    if found.classes:
        write_classes(target.with_suffix(".yaml"), found.classes)
    return {
        "manifest": str(target),
        "root": str(root),
        "rows": len(records),
        "patients": len({record.patient_id for record in records}),
        "labels": sum(bool(record.label) for record in records),
        "classes": {str(value): name for value, name in found.classes.items()},
        "passed_over": found.passed_over,
    }


def _below(record: Record, prefix: str) -> Record:
    if not prefix:
        return record
    label = f"{prefix}/{record.label}" if record.label else ""
    return Record(**{**record.__dict__, "image": f"{prefix}/{record.image}", "label": label})


def _find(source: Path, salt: bytes | None, progress: Progress | None) -> Found:
    described = source / "dataset.json"
    data = read_json(described) if described.is_file() else {}
    classes = parse_classes(data.get("labels") or {}, described)
    if isinstance(data.get("training"), list):
        return _decathlon(source, data, classes)
    for images, labels in _PAIRED:
        if (source / images).is_dir():
            channels = data.get("channel_names") or data.get("modality") or {}
            return _paired(source, images, labels, channels if isinstance(channels, dict) else {}, classes)
    return _loose(source, salt, progress)


def _decathlon(source: Path, data: dict[str, Any], classes: dict[int, str]) -> Found:
    """Medical Segmentation Decathlon: ``training`` lists pairs, ``test`` lists images."""
    found = Found(classes=classes)
    modality = data.get("modality")
    names = list(modality.values()) if isinstance(modality, dict) else []
    kind = str(names[0]) if len(names) == 1 else ""
    tests = data.get("test")
    rows = [*data["training"], *({"image": name} for name in (tests if isinstance(tests, list) else []))]
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("image"), str):
            raise InputError("training must list image and label", path=source / "dataset.json", code="manifest-format")
        image, label = (str(row.get(key, "")).removeprefix("./") for key in ("image", "label"))
        missing = [name for name in (image, label) if name and not (source / name).exists()]
        if missing:
            found.passed_over.append({"file": missing[0], "reason": "is missing"})
            continue
        found.records.append(Record(image, patient_of(image), label=label, modality=kind))
    return found


def _paired(source: Path, images: str, labels: str, channels: dict[Any, Any], classes: dict[int, str]) -> Found:
    """Two folders with equal names; nnU-Net's images end in a channel number."""
    found = Found(classes=classes)
    by_stem = {stem_of(path): path for path in scan_files(source / labels)} if (source / labels).is_dir() else {}
    used: set[str] = set()
    for path in scan_files(source / images):
        stem = stem_of(path)
        match = re.fullmatch(r"(.+)_(\d{4})", stem)
        channel = ""
        if stem not in by_stem and match and (match[1] in by_stem or channels):
            stem, channel = match[1], str(channels.get(str(int(match[2])), int(match[2])))
        label = by_stem.get(stem)
        used.add(stem)
        found.records.append(
            Record(
                _relative(path, source),
                patient_of(stem),
                study_id=stem if channel else "",
                label=_relative(label, source) if label else "",
                modality=channel,
            )
        )
    for stem in sorted(set(by_stem) - used):
        found.passed_over.append({"file": _relative(by_stem[stem], source), "reason": "a label without an image"})
    for other in entries(source):
        if other.is_dir() and other.name not in (images, labels) and next(scan_files(other), None) is not None:
            reason = f"scans beside {images}/ and {labels}/ are not taken"
            found.passed_over.append({"file": other.name, "reason": reason})
    return found


def _loose(source: Path, salt: bytes | None, progress: Progress | None) -> Found:
    """Every scan file, labels by their names' endings, and every DICOM series."""
    found = Found()
    files = list(scan_files(source))
    labels = {path: base for path in files if (base := _label_base(path)) is not None}
    by_base = {(path.parent, base): path for path, base in labels.items()}
    used: set[Path] = set()
    for path in files:
        if path in labels:
            continue
        stem = stem_of(path)
        bases = (stem.removesuffix(ending) for ending in _IMAGE_ENDINGS if stem.endswith(ending))
        label = next((by_base[path.parent, base] for base in bases if (path.parent, base) in by_base), None)
        used |= {label} if label else set()
        base = next(stem.removesuffix(ending) for ending in _IMAGE_ENDINGS if stem.endswith(ending))
        found.records.append(
            Record(_relative(path, source), patient_of(base), label=_relative(label, source) if label else "")
        )
    for path in sorted(set(labels) - used):
        found.passed_over.append({"file": _relative(path, source), "reason": "a label without an image"})
    for folder in dicom_folders(source):
        if progress is not None:
            progress(len(found.records), 0, "reading DICOM headers")
        found.records += _series(folder, source, found, salt)
    return found


def _series(folder: Path, source: Path, found: Found, salt: bytes | None) -> Iterator[Record]:
    from medssl.io.dicom import list_series

    try:
        series = list_series(folder, below=False)
    except MedsslError as error:
        found.passed_over.append({"file": _relative(folder, source), "reason": f"{error.reason} [{error.code}]"})
        return
    by_uid: dict[str, int] = {}
    for one in series:
        by_uid[one.series_uid] = by_uid.get(one.series_uid, 0) + 1
    for one in series:
        if len(series) > 1 and by_uid[one.series_uid] > 1:
            reason = f"several volumes under one series: {one.describe()}"
            found.passed_over.append({"file": _relative(folder, source), "reason": reason})
            continue
        # a multi-frame file is a scan by itself
        place = one.frames[0].path if one.frames[0].index is not None else folder
        yield Record(
            _relative(place, source),
            hashed(one.patient_id, salt) or patient_of(folder.name),
            study_id=hashed(one.frames[0].study, salt),
            series_id=hashed(one.series_uid, salt),
            modality=one.frames[0].modality,
        )


def _label_base(path: Path) -> str | None:
    stem = stem_of(path)
    return next((stem.removesuffix(ending) for ending in _LABEL_ENDINGS if stem.lower().endswith(ending)), None)


def stem_of(path: Path) -> str:
    """File name without the suffix, ``.nii.gz`` taken as one.

    Example:
        >>> stem_of(Path("a/b.c.nii.gz"))
        'b.c'
    """
    return path.name[: len(path.name) - len(suffix_of(path))]


def patient_of(name: str) -> str:
    """The patient a file name speaks of: BIDS's ``sub-`` part, else the whole name.

    Example:
        >>> patient_of("imagesTr/hippocampus_001.nii.gz"), patient_of("sub-07_ses-2_T1w")
        ('hippocampus_001', 'sub-07')
    """
    stem = stem_of(Path(name))
    match = re.match(r"sub-[A-Za-z0-9]+", stem)
    return match[0] if match else stem


def _relative(path: Path, source: Path) -> str:
    return path.relative_to(source).as_posix()
