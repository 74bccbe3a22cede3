"""Problems that a manifest's rows show by themselves: leaks, doubled rows, paths that are one, columns not taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from medssl.errors import MedsslError
from medssl.identifiers import plain_id
from medssl.io.manifests.problems import Problem
from medssl.manifest import Manifest, Record, private_columns


def row_problems(manifest: Manifest) -> list[Problem]:
    """Everything that can be told without opening a scan."""
    records = manifest.records
    found = [*_double_rows(records), *_leaks(records), *_names(records)]
    for column in private_columns(manifest.path):
        reason = f"the column {column} may name a person: it is not read, and better not kept here"
        found.append(Problem(1, "private", reason, "warning"))
    return found


def present(manifest: Manifest, problems: list[Problem]) -> list[tuple[Record, Path]]:
    """Rows whose image is there, with its path; what is missing or outside the root becomes a problem."""
    out = []
    for record in manifest.records:
        for resolve in (manifest.resolve, manifest.resolve_label):
            try:
                path = resolve(record)
                if resolve == manifest.resolve and path is not None:
                    out.append((record, path))
            except MedsslError as error:
                reason = error.reason.removeprefix(f"line {record.line}: ")
                problems.append(Problem(record.line, error.code, reason))
    return out


def _double_rows(records: Sequence[Record]) -> list[Problem]:
    seen: dict[tuple[str, ...], Record] = {}
    lowered: dict[str, Record] = {}
    out = []
    for record in records:
        image = PurePosixPath(record.image).as_posix()
        first = seen.setdefault((image, record.series_id, record.volume, record.slices, record.fold), record)
        if first is not record:
            reason = f"duplicate of line {first.line}: {record.image}"
            out.append(Problem(record.line, "manifest-check", reason))
        alike = lowered.setdefault(image.casefold(), record)
        if PurePosixPath(alike.image).as_posix() != image:
            reason = f"{record.image} and {alike.image} on line {alike.line} differ in upper and lower case alone"
            out.append(Problem(record.line, "manifest-path", reason, "warning"))
        if record.label and PurePosixPath(record.label).as_posix() == image:
            out.append(Problem(record.line, "label", "the label map is the image itself"))
    return out


def _leaks(records: Sequence[Record]) -> list[Problem]:
    """Patients on both sides of a split or in two folds.

    Where the rows of one fold have several splits, each fold is a division of its own, in which the same scan may
    stand once more; else the folds divide the patients.
    """
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        splits[record.fold] |= {record.split} if record.fold and record.split else set()
    if any(len(names) > 1 for names in splits.values()):
        by_fold: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_fold[record.fold].append(record)
        return [problem for rows in by_fold.values() for problem in _leaks_of(rows, "split")]
    return [*_leaks_of(records, "split"), *_leaks_of(records, "fold")]


def _leaks_of(records: Sequence[Record], column: str) -> list[Problem]:
    """An error for equal ids, a warning for ids that are very likely one."""

    def side(record: Record) -> str:
        return record.split if column == "split" else record.fold

    out: list[Problem] = []
    exact, alike, studies = (defaultdict[str, list[Record]](list) for _ in range(3))
    for record in records:
        if side(record):
            exact[record.patient_id].append(record)
            alike[plain_id(record.patient_id)].append(record)
            if record.study_id:
                studies[record.study_id].append(record)
    for group in exact.values():
        first = group[0]
        other = next((record for record in group if side(record) != side(first)), None)
        if other is not None:
            there = f"in {column} {side(other)} here, in {column} {side(first)} on line {first.line}"
            out.append(Problem(other.line, "manifest-leak", f"patient leak: {there}"))
    for what, groups in (("an id that differs in case or blanks only", alike), ("one study", studies)):
        for group in groups.values():
            first = group[0]
            other = next((r for r in group if side(r) != side(first) and r.patient_id != first.patient_id), None)
            if other is not None:
                there = f"in {column} {side(other)} here and {side(first)} on line {first.line}"
                reason = f"very likely a patient leak: {what}, {there}"
                out.append(Problem(other.line, "manifest-leak", reason, "warning"))
    return out


def _names(records: Sequence[Record]) -> list[Problem]:
    """Splits whose names differ in case or blanks alone."""
    first: dict[str, Record] = {}
    out = []
    told = set()
    for record in records:
        if not record.split:
            continue
        other = first.setdefault(record.split.strip().casefold(), record)
        if other.split != record.split and record.split not in told:
            told.add(record.split)
            reason = f"the split {record.split!r} is written {other.split!r} on line {other.line}"
            out.append(Problem(record.line, "manifest-check", reason, "warning"))
    return out
