"""Medical Segmentation Decathlon: ``dataset.json`` lists pairs in ``training`` and images in ``test``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medssl.classes import parse_classes
from medssl.errors import InputError
from medssl.io.manifests.layouts.found import Found, Progress, patient_of
from medssl.io.sniff import suffix_of
from medssl.manifest import Record, path_problem


def fits(source: Path, described: dict[str, Any]) -> bool:
    """Whether ``dataset.json`` lists its pairs by names that are there: nnU-Net 1 lists names without channels."""
    rows = described.get("training")
    if not isinstance(rows, list):
        return False
    names = [row["image"] for row in rows if isinstance(row, dict) and isinstance(row.get("image"), str)]
    return not names or any((source / name).exists() for name in names) or not _with_channel(source, names[0])


def _with_channel(source: Path, name: str) -> bool:
    path = source / name
    suffix = suffix_of(path)
    return path.with_name(f"{path.name[: len(path.name) - len(suffix)]}_0000{suffix}").exists()


def find(source: Path, described: dict[str, Any], salt: bytes | None, progress: Progress | None) -> Found:
    """The rows of ``dataset.json``.

    Raises:
        InputError: ``manifest-format``: a row is not a pair of names below the folder.
    """
    where = source / "dataset.json"
    found = Found(classes=parse_classes(described.get("labels") or {}, where))
    modality = described.get("modality")
    names = tuple(str(name) for name in modality.values()) if isinstance(modality, dict) else ()
    found.channels = names if len(names) > 1 else ()
    tests = described.get("test")
    rows = [*described["training"], *({"image": name} for name in (tests if isinstance(tests, list) else []))]
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("image"), str):
            raise InputError("training must list image and label", path=where, code="manifest-format")
        image, label = (str(row.get(key, "")).removeprefix("./") for key in ("image", "label"))
        wrong = next((problem for name in (image, label) if (problem := path_problem(name))), None)
        if wrong:
            raise InputError(f"{wrong} (in training or test)", path=where, code="manifest-path")
        missing = [name for name in (image, label) if name and not (source / name).exists()]
        if missing:
            found.pass_over(missing[0], "is missing")
            continue
        kind = names[0] if len(names) == 1 else ""
        found.records.append(Record(image, patient_of(image), label=label, modality=kind))
    return found
