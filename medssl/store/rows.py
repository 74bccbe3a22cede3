"""Manifest rows as the store keeps them: integers, keyed hashes and numbers; no names, dates or paths."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medssl.draws import stable_int
from medssl.errors import InputError
from medssl.identifiers import hashed
from medssl.manifest import Record
from medssl.store.entry import Row

Words = dict[str, list[str]]

MOST_WORDS = 100


def row_of(record: Record, words: Words, key: str, content: str, source: str, day: int = -1) -> Row:
    """A row of the store.

    Args:
        record: the manifest's row.
        words: what ``target_words`` found.
        key: of its entry.
        content: digest of the source's bytes.
        source: digest of the source's sizes and times.
        day: since the patient's first scan, -1 where unknown; no date is kept.
    """
    ids = {
        "patient": _number(record.patient_id),
        "study": _number(record.study_id),
        "series": _number(record.series_id),
        "record": _number(record_name(record)),
        "time": day,
    }
    return Row(
        key=key,
        ids=ids,
        patient=hashed(record.patient_id),
        record=hashed(record_name(record)),
        modality=record.modality,
        split=record.split,
        fold=record.fold,
        targets=target_numbers(record, words),
        slices=record.slices,
        flags=tuple(record.flags.split()),
        content=content,
        source=source,
    )


def record_name(record: Record) -> str:
    """What tells one row from another: the image's path, and which series or volume of it."""
    return f"{record.image}\n{record.series_id}" + (f"\n{record.volume}" if record.volume else "")


def sequence_number(modality: str) -> int:
    """The id of a word of the manifest's ``modality``, whatever its case; -1 for none.

    Example:
        >>> sequence_number("T1") == sequence_number("t1 ") != sequence_number("FLAIR"), sequence_number("")
        (True, -1)
    """
    name = modality.strip().casefold()
    return stable_int(name) if name else -1


def _number(name: str) -> int:
    return stable_int(hashed(name)) if name else -1


def target_words(records: Sequence[Record]) -> Words:
    """Target columns that are not numbers, each with its words in order; a word's number is its place.

    A column with more than ``MOST_WORDS`` words is no class but a remark that may hold what is private: it keeps none.

    Example:
        >>> target_words([Record("a", "p", targets={"sex": "m", "age": "4"}), Record("b", "q", targets={"sex": "f"})])
        {'sex': ['f', 'm']}
    """
    values: dict[str, set[str]] = {}
    for record in records:
        for column, value in record.targets.items():
            if value.strip():
                values.setdefault(column, set()).add(value.strip())
    wordy = {column: found for column, found in sorted(values.items()) if not all(map(_is_number, found))}
    return {column: sorted(found) if len(found) <= MOST_WORDS else [] for column, found in wordy.items()}


def target_numbers(record: Record, words: Words) -> dict[str, float]:
    """A row's targets as numbers; empty cells are left out."""
    out = {}
    for column, text in record.targets.items():
        value = text.strip()
        if column in words and value in words[column]:
            out[column] = float(words[column].index(value))
        elif column not in words and value:
            out[column] = float(value)
    return out


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def refuse_doubles(records: Sequence[Record]) -> None:
    """Refuse two rows of the same image: they would be counted twice.

    Raises:
        InputError: ``manifest-check``, with both lines.
    """
    seen: dict[str, Record] = {}
    for record in records:
        first = seen.setdefault(record_name(record), record)
        if first is not record:
            raise InputError(
                f"the image of line {record.line} stands in line {first.line} already", code="manifest-check"
            )
