"""Every problem of a manifest in one run, in a stable order, each with its line and code."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medssl.classes import read_classes
from medssl.errors import InputError, MedsslError, one_line
from medssl.io.files import open_regular
from medssl.io.read import read_label, read_record
from medssl.manifest import Manifest, Record, parse
from medssl.volume import Volume, reorient

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong.

    Args:
        line: line of the manifest, 0 for the file as a whole.
        code: a key of ``CODES``.
        reason: in one line.
        severity: ``error`` or ``warning``.
        file: the manifest.
    """

    line: int
    code: str
    reason: str
    severity: str = "error"
    file: str = ""

    def __str__(self) -> str:
        mark = "warning: " if self.severity == "warning" else ""
        return one_line(f"{self.file}:{self.line}: {mark}{self.reason} [{self.code}]")


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Args:
        path: the manifest.
        rows: rows that can be read.
        patients: different patients among them.
        problems: sorted by line.
    """

    path: str
    rows: int
    patients: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(problem.severity == "error" for problem in self.problems)

    def plain(self) -> dict[str, Any]:
        """The report as JSON-able data."""
        return {
            "path": self.path,
            "rows": self.rows,
            "patients": self.patients,
            "ok": self.ok,
            "problems": [asdict(problem) for problem in self.problems],
        }


def check_manifest(
    path: str | Path, root: str | Path | None = None, *, deep: bool = False, progress: Progress | None = None
) -> CheckReport:
    """Find every problem: form, paths, duplicates, byte copies, patients in several splits.

    Args:
        path: the manifest.
        root: what its paths are relative to; its own folder by default.
        deep: read every image and label too: geometry, values, declared classes, and copies in another dtype,
            storage order or format.
        progress: called with done, total and what is being done.

    Raises:
        InputError: nothing can be read at all: no file, not UTF-8, no header, no rows.
    """
    where = Path(path)
    records, malformed = parse(where)
    base = Path(root) if root is not None else where.parent
    if not base.is_dir():
        raise InputError("the data root is not a folder", path=base, code="manifest-path")
    problems = [Problem(line, error.code, error.reason) for line, error in malformed]
    classes: dict[int, str] = {}
    try:
        classes = read_classes(where)
    except MedsslError as error:
        problems.append(Problem(0, error.code, str(error)))
    manifest = Manifest(where, base, tuple(records), classes)
    present = _present(manifest, problems)
    problems += _double_rows(records) + _leaks(records)
    problems += _copies(present, progress)
    if deep:
        problems += _deep(manifest, [record for record, _ in present], progress)
    named = sorted({Problem(p.line, p.code, p.reason, p.severity, str(where)) for p in problems})
    return CheckReport(str(where), len(records), len({r.patient_id for r in records}), tuple(named))


def _present(manifest: Manifest, problems: list[Problem]) -> list[tuple[Record, Path]]:
    out = []
    for record in manifest.records:
        try:
            out.append((record, manifest.resolve(record)))
            manifest.resolve_label(record)
        except MedsslError as error:
            reason = error.reason.removeprefix(f"line {record.line}: ")
            problems.append(Problem(record.line, error.code, reason))
    return out


def _double_rows(records: list[Record]) -> list[Problem]:
    seen: dict[tuple[str, ...], int] = {}
    out = []
    for record in records:
        key = (Path(record.image).as_posix(), record.series_id, record.slices, record.fold)
        if key in seen:
            out.append(Problem(record.line, "manifest-check", f"duplicate of line {seen[key]}: {record.image}"))
        seen.setdefault(key, record.line)
    return out


def _leaks(records: list[Record]) -> list[Problem]:
    """Patients in more than one split: an error for equal ids, a warning for ids that are very likely one."""
    out: list[Problem] = []
    exact, alike, studies = (defaultdict[str, list[Record]](list) for _ in range(3))
    for record in records:
        if record.split:
            exact[record.patient_id].append(record)
            alike[record.patient_id.strip().casefold()].append(record)
            if record.study_id:
                studies[record.study_id].append(record)
    for group in exact.values():
        first = group[0]
        for record in group:
            if record.split != first.split:
                reason = f"patient leak: in split {record.split} here, in split {first.split} on line {first.line}"
                out.append(Problem(record.line, "manifest-leak", reason))
                break
    for what, groups in (("an id that differs in case or blanks only", alike), ("one study", studies)):
        for group in groups.values():
            first = group[0]
            other = next((r for r in group if r.split != first.split and r.patient_id != first.patient_id), None)
            if other is not None:
                there = f"in split {other.split} here and {first.split} on line {first.line}"
                reason = f"very likely a patient leak: {what}, {there}"
                out.append(Problem(other.line, "manifest-leak", reason, "warning"))
    return out


def _copies(present: list[tuple[Record, Path]], progress: Progress | None) -> list[Problem]:
    """Files that are byte for byte the same, and files that are not what ``sha256`` says."""
    by_size: dict[int, set[Path]] = defaultdict(set)
    for _, path in present:
        if path.is_file():
            by_size[path.stat().st_size].add(path)
    doubtful = {path for group in by_size.values() if len(group) > 1 for path in group}
    out: list[Problem] = []
    first: dict[str, Record] = {}
    known: dict[Path, str] = {}
    for done, (record, path) in enumerate(present):
        if progress is not None:
            progress(done, len(present), "comparing files")
        if not path.is_file() or (path not in doubtful and not record.sha256):
            continue
        try:
            digest = known.setdefault(path, known.get(path) or file_digest(path))
        except MedsslError as error:
            out.append(Problem(record.line, error.code, error.reason))
            continue
        if record.sha256 and record.sha256.lower() != digest:
            out.append(Problem(record.line, "hash", f"{record.image} is not the file that sha256 names"))
        other = first.setdefault(digest, record)
        if other is not record and other.image != record.image:
            out.append(_duplicate(record, other, "a byte copy"))
    return out


def _duplicate(record: Record, other: Record, how: str) -> Problem:
    across = f", across the splits {other.split} and {record.split}" if record.split != other.split else ""
    reason = f"duplicate scan: {record.image} is {how} of {other.image} on line {other.line}{across}"
    return Problem(record.line, "manifest-check", reason)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def voxel_digest(volume: Volume) -> str:
    """SHA-256 of the voxels whatever their dtype and storage order: the same scan in DICOM and NIfTI agrees.

    Example:
        >>> v = Volume(np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4), np.eye(4))
        >>> voxel_digest(v) == voxel_digest(Volume(v.data.astype(np.float32), v.affine))
        True
    """
    data = np.ascontiguousarray(reorient(volume).data, dtype=np.float32)
    # -0.0 and 0.0 are one value
    return hashlib.sha256(str(data.shape).encode() + (data + np.float32(0)).tobytes()).hexdigest()


def _deep(manifest: Manifest, records: list[Record], progress: Progress | None) -> list[Problem]:
    out: list[Problem] = []
    first: dict[str, Record] = {}
    for done, record in enumerate(records):
        if progress is not None:
            progress(done, len(records), "reading scans")
        try:
            image = read_record(manifest, record)
            other = first.setdefault(voxel_digest(image), record)
            # byte copies are told already
            if other is not record and other.image != record.image and not _same_bytes(manifest, record, other):
                out.append(_duplicate(record, other, "a voxel copy"))
            out += _label_problems(manifest, record, image)
        except MedsslError as error:
            where = Path(error.path).name + ": " if error.path else ""
            out.append(Problem(record.line, error.code, f"{where}{error.reason}"))
    return out


def _same_bytes(manifest: Manifest, a: Record, b: Record) -> bool:
    one, two = manifest.resolve(a), manifest.resolve(b)
    if not one.is_file() or not two.is_file() or one.stat().st_size != two.stat().st_size:
        return False
    return file_digest(one) == file_digest(two)


def _label_problems(manifest: Manifest, record: Record, image: Volume) -> list[Problem]:
    path = manifest.resolve_label(record)
    if path is None:
        return []
    values = {int(value) for value in np.unique(read_label(path, image).data)}
    out = []
    # -1 says that nobody has looked: partly labelled scans
    undeclared = sorted(values - set(manifest.classes) - {0, -1})
    if manifest.classes and undeclared:
        out.append(Problem(record.line, "label", f"{record.label} has values that are no declared class: {undeclared}"))
    if not values - {0, -1}:
        out.append(Problem(record.line, "label", f"{record.label} is empty", "warning"))
    return out
