"""Manifests: which scans there are, whose they are, and what is known of them.

A manifest is a UTF-8 CSV, one row an image; any column it does not know is a target, those apart that by their name
hold what is private. A ``date`` becomes the ``day`` since the patient's first scan. Paths are relative to a root and
never leave it. Ids may be raw; whatever is written elsewhere carries their keyed hash.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from medssl.atomic import write_text
from medssl.classes import read_classes
from medssl.errors import InputError, IntegrityError, MedsslError, from_os_error
from medssl.identifiers import is_private
from medssl.visits import dates_to_days

REQUIRED = ("image", "patient_id")
COLUMNS = (
    *REQUIRED,
    "study_id",
    "series_id",
    "volume",
    "label",
    "modality",
    "site",
    "split",
    "fold",
    "slices",
    "flags",
    "sha256",
)
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Record:
    """One row: an image and what is known of it.

    Args:
        image: path of a file or DICOM folder, relative to the root.
        patient_id: whose scan it is; rows of one patient never stand on both sides of a split.
        study_id: rows that share it are modalities of one study.
        series_id: SeriesInstanceUID or a keyed hash; chooses in a folder with several series.
        volume: which one of a 4D file, from 0, or empty where the file holds one.
        label: path of the label map, relative to the root, or empty.
        modality: CT, MR, T1, …
        site: where it was made.
        split: train, val, test or a name of the user's own.
        fold: of a cross-validation.
        slices: which slices are kept, or empty for all.
        flags: what a careful reader should know, separated by blanks.
        sha256: of the image file's bytes, or empty.
        targets: every other column.
        line: line in the file, from 1; 0 where the record comes from elsewhere.
    """

    image: str
    patient_id: str
    study_id: str = ""
    series_id: str = ""
    volume: str = ""
    label: str = ""
    modality: str = ""
    site: str = ""
    split: str = ""
    fold: str = ""
    slices: str = ""
    flags: str = ""
    sha256: str = ""
    targets: dict[str, str] = field(default_factory=dict, hash=False)
    line: int = field(default=0, compare=False)

    def row(self) -> dict[str, str]:
        """Column → value, targets too, without the empty ones."""
        values = {name: str(getattr(self, name)) for name in COLUMNS} | self.targets
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True)
class Manifest:
    """Records with the root their paths are relative to.

    Args:
        path: the CSV file.
        root: the folder that no path leaves.
        records: the rows.
        classes: label value → name, from the card or ``dataset.json`` beside the file.
    """

    path: Path
    root: Path
    records: tuple[Record, ...]
    classes: dict[int, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path, root: str | Path | None = None) -> Manifest:
        """Read and check a manifest's form; whether the files are there is ``check_manifest``'s question.

        Raises:
            InputError: ``manifest-format`` or ``manifest-path``, with the line.
        """
        where = Path(path)
        records, problems = parse(where)
        if problems:
            line, error = problems[0]
            more = f", and {len(problems) - 1} more problems" if len(problems) > 1 else ""
            raise type(error)(f"line {line}: {error.reason}{more}", path=where, code=error.code, hint=error.hint)
        base = Path(root) if root is not None else where.parent
        if not base.is_dir():
            raise InputError("the data root is not a folder", path=base, code="manifest-path")
        return cls(where, base, tuple(records), read_classes(where))

    def write(self, path: str | Path) -> None:
        """Write as CSV, whole or not at all; columns that are empty in every row are left out."""
        used = {name for record in self.records for name in record.row()}
        others = sorted(used - set(COLUMNS))
        columns = [name for name in COLUMNS if name in used or name in REQUIRED] + others
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        for record in self.records:
            row = record.row()
            writer.writerow([row.get(name, "") for name in columns])
        write_text(Path(path), out.getvalue())

    def select(self, split: str | Sequence[str] | None = None) -> Manifest:
        """The records of one or several splits; all of them for None.

        Raises:
            InputError: ``too-few``, when no record is of these splits.
        """
        if split is None:
            return self
        wanted = {split} if isinstance(split, str) else set(split)
        chosen = tuple(record for record in self.records if record.split in wanted)
        if not chosen:
            have = ", ".join(sorted({record.split or "(none)" for record in self.records}))
            raise InputError(
                f"no row is of split {' or '.join(sorted(wanted))}, there are: {have}", path=self.path, code="too-few"
            )
        return replace(self, records=chosen)

    def resolve(self, record: Record) -> Path:
        """The image's path, after checking that it is there and inside the root."""
        return self.inside(record.image, record.line)

    def resolve_label(self, record: Record) -> Path | None:
        """The label map's path, or None where the row has none."""
        return self.inside(record.label, record.line) if record.label else None

    def inside(self, name: str, line: int) -> Path:
        """A path of the manifest as a real one.

        Raises:
            IntegrityError: ``manifest-path``: it leaves the root, by itself or by a link.
            InputError: ``manifest-path``: there is nothing.
        """
        at = f"line {line}: " if line else ""
        problem = path_problem(name)
        if problem:
            raise IntegrityError(f"{at}{problem}", path=self.path, code="manifest-path")
        target = self.root / name
        home = os.path.realpath(self.root)
        if os.path.commonpath([home, os.path.realpath(target)]) != home:
            raise IntegrityError(f"{at}{name} leaves the data root by a link", path=self.path, code="manifest-path")
        # a name that is too long for the system is missing as well
        if not os.path.exists(target):
            raise InputError(f"{at}{name} is missing", path=self.path, code="manifest-path", hint=f"root: {self.root}")
        return target

    def digest(self) -> str:
        """SHA-256 of the content: the records and classes, whatever the file's dialect and column order."""
        rows = [sorted(record.row().items()) for record in self.records]
        text = json.dumps([rows, sorted(self.classes.items())], ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def path_problem(name: str) -> str | None:
    """Why a path cannot stand in a manifest, or None.

    Example:
        >>> path_problem("a/b.nii.gz"), path_problem("../b.nii.gz")
        (None, '../b.nii.gz leaves the data root')
    """
    if "\0" in name:
        return "a path holds a null character"
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if posix.is_absolute() or windows.is_absolute() or windows.drive:
        return f"{name} is absolute, expected a path relative to the root"
    if ".." in posix.parts or ".." in windows.parts:
        return f"{name} leaves the data root"
    return None


def private_columns(path: Path) -> list[str]:
    """Columns of a manifest that are never read, since their names say that they hold what is private."""
    return [name for name in _rows(_text(path), path)[0] if is_private(name)]


def parse(path: Path) -> tuple[list[Record], list[tuple[int, MedsslError]]]:
    """Rows that can be used, and every problem with its line.

    Raises:
        InputError: nothing can be read: no file, not UTF-8, no header, no rows.
    """
    columns, rows = _rows(_text(path), path)
    records: list[Record] = []
    problems: list[tuple[int, MedsslError]] = []
    for line, cells in rows:
        if len(cells) != len(columns):
            problems.append((line, _bad(f"expected {len(columns)} fields, got {len(cells)}")))
            continue
        row = dict(zip(columns, cells, strict=True))
        empty = [name for name in REQUIRED if not row[name].strip()]
        if empty:
            problems.append((line, _bad(f"{empty[0]} is empty")))
            continue
        wrong = next((p for name in ("image", "label") if (p := path_problem(row.get(name, "")))), None)
        if wrong:
            problems.append((line, IntegrityError(wrong, code="manifest-path")))
            continue
        if row.get("volume", "").strip() and not row["volume"].strip().isdecimal():
            problems.append((line, _bad("volume must be a whole number from 0, or empty")))
            continue
        known = {name: value for name, value in row.items() if name in COLUMNS}
        records.append(Record(**known, targets=_targets(row), line=line))
    if not records and not problems:
        raise _bad("line 1: the manifest has no rows", path)
    for place in dates_to_days([record.patient_id for record in records], [record.targets for record in records]):
        problems.append((records[place].line, _bad("date must be as in 2024-03-01, or empty")))
    return records, sorted(problems, key=lambda problem: problem[0])


def _targets(row: dict[str, str]) -> dict[str, str]:
    # what may name a person is never a target, so that it reaches no store, log or report
    return {name: value for name, value in row.items() if name not in COLUMNS and not is_private(name)}


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise InputError("does not exist" if not path.exists() else "is not a file", path=path, code="missing")
        data = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, path) from error
    if not data.strip():
        raise _bad("line 1: the manifest is empty", path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"line {line}: expected UTF-8, got the byte {data[error.start]:#04x}",
            path=path,
            code="manifest-format",
            hint="save it as CSV UTF-8",
        ) from error


def _rows(text: str, path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    if "\0" in text:
        raise _bad(f"line {text[: text.index(chr(0))].count(chr(10)) + 1}: a null character", path)
    lines = text.splitlines()
    # a spreadsheet may say its separator in a line of its own
    named = lines[0].strip().strip('"').lower() in [f"sep={mark}" for mark in _DELIMITERS] and len(lines) > 1
    first = lines[1] if named else lines[0]
    headers = {mark: [name.strip() for name in next(csv.reader([first], delimiter=mark))] for mark in _DELIMITERS}
    mark = next((mark for mark, names in headers.items() if set(REQUIRED) <= set(names)), None)
    if mark is None:
        # a file without a header may have a patient's id here, so the line itself is not shown
        most = max(headers.values(), key=lambda found: len(set(REQUIRED) & set(found)))
        lacks = " and ".join(name for name in REQUIRED if name not in most)
        raise _bad(f"line 1: expected a header with the columns {' and '.join(REQUIRED)}, it lacks {lacks}", path)
    names = headers[mark]
    if len(set(names)) != len(names) or "" in names:
        double = next(name for name in names if not name or names.count(name) > 1)
        raise _bad(f"line 1: a column's name {f'stands twice: {double}' if double else 'is empty'}", path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    rows: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if start > 1 + named and any(cell.strip() for cell in cells):
                rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise _bad(f"line {start}: malformed CSV ({error})", path) from error
    return names, rows


def _bad(reason: str, path: Path | None = None) -> InputError:
    return InputError(reason, path=path, code="manifest-format")
