"""BIDS: ``sub-…/[ses-…/]<kind>/`` with entities in the names, masks in ``derivatives``, ``participants.tsv``."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medssl.classes import parse_classes
from medssl.errors import InputError, MedsslError, from_os_error
from medssl.identifiers import is_private
from medssl.io.describe import describe
from medssl.io.folder import entries, scan_files
from medssl.io.manifests.layouts.found import Found, Progress, relative, stem_of
from medssl.io.values import LABEL_TOLERANCE
from medssl.manifest import COLUMNS, Record
from medssl.volume import orientation_of

_LABEL_SUFFIXES = ("dseg", "mask", "seg", "label", "roi", "lesion")
_NOT_LABELS = ("brain", "head", "bet", "skullstrip")
_MOST_WORDS = 100
_LONGEST_WORD = 40


@dataclass(frozen=True)
class Name:
    """A BIDS file name, taken apart.

    Args:
        path: the file.
        entities: ``sub``, ``ses``, ``acq``, … as they stand.
        suffix: the last part: ``T1w``, ``bold``, ``dseg``, …
    """

    path: Path
    entities: dict[str, str]
    suffix: str

    @classmethod
    def of(cls, path: Path) -> Name:
        """The parts of a name.

        Example:
            >>> Name.of(Path("sub-01_ses-2_acq-hr_T1w.nii.gz")).entities
            {'sub': '01', 'ses': '2', 'acq': 'hr'}
        """
        *parts, suffix = stem_of(path).split("_")
        pairs = [part.partition("-") for part in parts]
        return cls(path, {key: value for key, dash, value in pairs if dash}, suffix)


def fits(source: Path, described: dict[str, Any]) -> bool:
    """Whether there are subjects with scans in folders of kinds, or the file that names the standard."""
    subjects = [entry for entry in entries(source) if entry.name.startswith("sub-") and entry.is_dir()]
    if not subjects:
        return False
    if (source / "dataset_description.json").is_file():
        return True
    kinds = ("anat", "dwi", "func", "pet", "perf", "fmap", "ct")
    return any((one / kind).is_dir() or any(one.glob(f"ses-*/{kind}")) for one in subjects for kind in kinds)


def find(source: Path, described: dict[str, Any], salt: bytes | None, progress: Progress | None) -> Found:
    """A row for each image of each subject; a mask is its label where it lies on the same grid."""
    found = Found(classes=_classes(source))
    people = _participants(source)
    labels = defaultdict(list)
    images: list[Name] = []
    for path in _scans(source):
        name = Name.of(path)
        derived = path.relative_to(source).parts[0] == "derivatives"
        if name.suffix in _LABEL_SUFFIXES:
            labels[name.entities.get("sub", ""), name.entities.get("ses", "")].append(name)
        elif not derived:
            images.append(name)
    used: set[Path] = set()
    for number, image in enumerate(images, 1):
        if progress is not None:
            progress(number, len(images), "matching labels")
        subject, session = image.entities.get("sub", ""), image.entities.get("ses", "")
        candidates = labels[subject, session] + (labels[subject, ""] if session else [])
        label = _label_of(image, candidates, source, found) if subject else None
        used |= {label.path} if label else set()
        facts = people.get(f"sub-{subject}", {})
        row = Record(
            relative(image.path, source),
            f"sub-{subject}" if subject else stem_of(image.path),
            study_id="_".join(f"{key}-{image.entities[key]}" for key in ("sub", "ses") if key in image.entities),
            label=relative(label.path, source) if label else "",
            modality=image.suffix,
            site=facts.get("site", ""),
            targets={column: value for column, value in facts.items() if column not in COLUMNS},
        )
        found.records.append(row)
    for name in sorted((name for group in labels.values() for name in group), key=lambda name: str(name.path)):
        if name.path not in used:
            found.pass_over(relative(name.path, source), "a mask that is no image's only label on the same grid")
    return found


def _scans(source: Path) -> Iterator[Path]:
    for entry in entries(source):
        if entry.is_dir() and (entry.name.startswith("sub-") or entry.name == "derivatives"):
            yield from scan_files(entry)


def _label_of(image: Name, candidates: list[Name], source: Path, found: Found) -> Name | None:
    """The one label map of an image: its entities do not contradict the image's, and it has the same grid."""
    fitting = [name for name in candidates if _agrees(name, image) and _same_grid(name.path, image.path)]
    wanted = [name for name in fitting if name.entities.get("desc", "").lower() not in _NOT_LABELS]
    best = [name for name in wanted if name.suffix == "dseg"] or wanted
    if len(best) > 1:
        reason = f"one of {len(best)} label maps of {relative(image.path, source)}: name one in `label`"
        found.pass_over(relative(best[0].path, source), reason)
    return best[0] if len(best) == 1 else None


def _agrees(label: Name, image: Name) -> bool:
    shared = label.entities.keys() & image.entities.keys()
    space = label.entities.get("space", image.suffix)
    own = space in (image.suffix, "orig", "individual", "native", "scanner")
    return own and all(label.entities[key] == image.entities[key] for key in shared)


def _same_grid(label: Path, image: Path) -> bool:
    try:
        one, two = describe(label), describe(image)
    except MedsslError:
        return False
    if orientation_of(one.affine) != orientation_of(two.affine):
        # stored flipped or permuted: reading puts it right, and judges it
        return sorted(one.shape) == sorted(two.shape)
    return one.shape == two.shape and bool(np.abs(one.affine - two.affine).max() <= LABEL_TOLERANCE)


def _participants(source: Path) -> dict[str, dict[str, str]]:
    """Columns of ``participants.tsv`` that are plain: numbers, or a few short words; nothing private."""
    table = _table(source / "participants.tsv")
    columns = {column for row in table for column in row} - {"participant_id"}
    plain = [
        column
        for column in sorted(columns)
        if not is_private(column) and _is_plain([row.get(column, "") for row in table])
    ]
    return {
        row["participant_id"]: {column: value for column in plain if (value := row.get(column, "")) not in ("", "n/a")}
        for row in table
        if row.get("participant_id")
    }


def _is_plain(values: list[str]) -> bool:
    words = {value for value in values if value not in ("", "n/a") and not _is_number(value)}
    return len(words) <= _MOST_WORDS and all(
        len(word) <= _LONGEST_WORD and re.fullmatch(r"[\w.+/<>=-]+( [\w.+/<>=-]+)?", word) for word in words
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _classes(source: Path) -> dict[int, str]:
    """Label names of the first ``*_dseg.tsv`` at the top of the folder or of a derivative."""
    tables = [*sorted(source.glob("*dseg.tsv")), *sorted(source.glob("derivatives/*/*dseg.tsv"))]
    for path in tables[:1]:
        rows = [row for row in _table(path) if row.get("index", "").isdecimal() and row.get("name")]
        return parse_classes({row["index"]: row["name"] for row in rows}, path)
    return {}


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise from_os_error(error, path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("expected a table in UTF-8, tabs between its cells", path=path, code="format") from error
    return [{str(key): (value or "").strip() for key, value in row.items() if isinstance(value, str)} for row in rows]
