"""nnU-Net's raw layout, versions 1 and 2: ``case_0000`` for channels, ``imagesTr``, ``labelsTr``, ``imagesTs``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from medssl.classes import parse_classes
from medssl.io.folder import scan_files
from medssl.io.manifests.layouts.found import Found, Progress, patient_of, relative, stem_of
from medssl.manifest import Record, path_problem

PAIRS = (("imagesTr", "labelsTr"), ("imagesVal", "labelsVal"), ("imagesTs", "labelsTs"))


def fits(source: Path, described: dict[str, Any]) -> bool:
    """Whether the folder has training images and says its channels, or names them by four digits."""
    if not (source / "imagesTr").is_dir():
        return False
    said = {"channel_names", "file_ending", "numTraining"} & described.keys()
    return bool(said) or any(re.search(r"_\d{4}$", stem_of(path)) for path in scan_files(source / "imagesTr"))


def find(source: Path, described: dict[str, Any], salt: bytes | None, progress: Progress | None) -> Found:
    """A row for each channel of each case; the channels of a case share ``study_id`` and label map."""
    channels = described.get("channel_names") or described.get("modality") or {}
    names = {int(key): str(name) for key, name in channels.items() if str(key).isdecimal()}
    found = Found(classes=classes_of(described.get("labels") or {}, source / "dataset.json"))
    ending = described.get("file_ending") if isinstance(described.get("file_ending"), str) else ""
    listed = described.get("dataset")
    if isinstance(listed, dict) and listed:
        _listed(source, listed, names, found)
        return found
    for images, labels in PAIRS:
        if (source / images).is_dir():
            _pair(source, images, labels, names, ending or "", found)
    return found


def _pair(source: Path, images: str, labels: str, names: dict[int, str], ending: str, found: Found) -> None:
    by_stem = {stem_of(path): path for path in scan_files(source / labels)} if (source / labels).is_dir() else {}
    used = set()
    for path in scan_files(source / images):
        if ending and not path.name.endswith(ending):
            found.pass_over(relative(path, source), f"does not end in {ending}, as dataset.json says")
            continue
        match = re.fullmatch(r"(.+)_(\d{4})", stem_of(path))
        if match is None:
            found.pass_over(relative(path, source), "its name does not end in a channel, as in case_0000")
            continue
        case, channel = match[1], int(match[2])
        label = by_stem.get(case)
        used.add(case)
        kind = names.get(channel, str(channel) if names else "")
        found.records.append(_row(relative(path, source), case, kind, relative(label, source) if label else ""))
    for case in sorted(set(by_stem) - used):
        found.pass_over(relative(by_stem[case], source), "a label without an image")


def _listed(source: Path, cases: dict[str, Any], names: dict[int, str], found: Found) -> None:
    """Version 2 may list the files of each case instead of naming them by a rule."""
    for case, files in sorted(cases.items()):
        images = files.get("images") if isinstance(files, dict) else None
        label = str(files.get("label") or "") if isinstance(files, dict) else ""
        for channel, image in enumerate(images if isinstance(images, list) else []):
            outside = [name for name in (str(image), label) if path_problem(name)]
            missing = [name for name in (str(image), label) if name and not outside and not (source / name).exists()]
            if outside or missing:
                found.pass_over((outside or missing)[0], "lies outside the folder" if outside else "is missing")
                continue
            found.records.append(_row(str(image).removeprefix("./"), case, names.get(channel, ""), label))


def _row(image: str, case: str, kind: str, label: str) -> Record:
    return Record(image, patient_of(case), study_id=case, label=label.removeprefix("./"), modality=kind)


def classes_of(labels: Any, where: Path) -> dict[int, str]:
    """Classes of ``{name: value}``, or of ``{name: [values]}`` for regions: a value bears its smallest region's name.

    Example:
        >>> classes_of({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}, Path("dataset.json"))
        {0: 'background', 1: 'whole', 2: 'core', 3: 'enhancing'}
    """
    if not isinstance(labels, dict) or not any(isinstance(value, list) for value in labels.values()):
        return parse_classes(labels, where)
    regions = {str(name): value if isinstance(value, list) else [value] for name, value in labels.items()}
    smallest: dict[Any, str] = {}
    for name, values in sorted(regions.items(), key=lambda item: -len(item[1])):
        smallest |= dict.fromkeys(map(str, values), name)
    return parse_classes(smallest, where)
