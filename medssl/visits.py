"""When scans were made: dates become days since the patient's first scan, and go no further."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

DATE, DAY = "date", "day"
"""Columns of a manifest: a date as in 2024-03-01 or 2024-03-01T10:30; a number of days since any day of the user's."""


def dates_to_days(patients: Sequence[str], targets: Sequence[dict[str, str]]) -> list[int]:
    """Take the dates out of rows and put days since the patient's first dated row in their place.

    A row that has a ``day`` of its own keeps it.

    Args:
        patients: whose each row is.
        targets: further columns of each row, changed in place.

    Returns:
        The places of rows whose date cannot be read.

    Example:
        >>> rows = [{"date": "2024-03-01"}, {"date": "2024-02-28"}, {"date": "1. March"}]
        >>> dates_to_days(["a", "a", "b"], rows), rows
        ([2], [{'day': '2'}, {'day': '0'}, {}])
    """
    ordinals: list[float | None] = []
    unread = []
    for place, row in enumerate(targets):
        text = row.pop(DATE, "").strip()
        try:
            ordinals.append(datetime.fromisoformat(text).toordinal() if text else None)
        except ValueError:
            ordinals.append(None)
            unread.append(place)
    for row, day in zip(targets, since_first(patients, ordinals), strict=True):
        if day >= 0:
            row.setdefault(DAY, str(day))
    return unread


def visit_days(patients: Sequence[str], targets: Sequence[dict[str, str]]) -> list[int]:
    """Whole days since the patient's first scan, of each row's ``day``; -1 where it is no number."""
    return since_first(patients, [_number(row.get(DAY, "")) for row in targets])


def since_first(patients: Sequence[str], days: Sequence[float | None]) -> list[int]:
    """Whole days since the patient's first known one; -1 where unknown.

    Example:
        >>> since_first(["a", "b", "a", "a"], [-30.0, 5.0, 12.0, None])
        [0, 0, 42, -1]
    """
    first: dict[str, float] = {}
    for patient, day in zip(patients, days, strict=True):
        if day is not None:
            first[patient] = min(day, first.get(patient, day))
    return [-1 if day is None else round(day - first[patient]) for patient, day in zip(patients, days, strict=True)]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
