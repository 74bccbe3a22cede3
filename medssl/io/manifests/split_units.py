"""Who stays together in a split, and which groups the shares shall hold in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medssl.errors import MedsslError, UsageError
from medssl.identifiers import plain_id
from medssl.io.manifests.check_copies import Groups, byte_copies
from medssl.manifest import COLUMNS, Manifest, Record

LINKS = ("study", "copies")
BINS = 4
"""Quantile bins of a numeric column."""

_MOST_LEVELS = 10
"""A numeric column with more values than this is binned; one with fewer counts as classes."""


@dataclass(frozen=True)
class Units:
    """Patients, those that are linked taken as one.

    Args:
        names: every unit, in order.
        unit_of: patient → unit.
    """

    names: tuple[str, ...]
    unit_of: Mapping[str, str]

    def of(self, record: Record) -> str:
        """The unit of a row."""
        return self.unit_of[one_patient(record)]


def one_patient(record: Record) -> str:
    """A patient's id without what differs between spellings."""
    return plain_id(record.patient_id)


def units_of(manifest: Manifest, link: Sequence[str] = ()) -> Units:
    """The patients of a manifest.

    Args:
        manifest: its rows.
        link: see ``Manner``.

    Raises:
        UsageError: a link that is none.
    """
    wrong = next((name for name in link if name not in LINKS), None)
    if wrong is not None:
        raise UsageError(f"expected a link of {', '.join(LINKS)}, got {wrong}", path="--link")
    parent = {one_patient(record): one_patient(record) for record in manifest.records}

    def top(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for group in [*(_studies(manifest) if "study" in link else ()), *(_copies(manifest) if "copies" in link else ())]:
        # the first in order gives the name, so that it hardly ever changes
        tops = sorted({top(one_patient(record)) for record in group})
        parent |= dict.fromkeys(tops, tops[0])
    unit_of = {name: top(name) for name in parent}
    return Units(tuple(sorted(set(unit_of.values()))), unit_of)


def _studies(manifest: Manifest) -> list[list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in manifest.records:
        if record.study_id:
            groups.setdefault(record.study_id, []).append(record)
    return list(groups.values())


def _copies(manifest: Manifest) -> list[list[Record]]:
    rows = []
    for record in manifest.records:
        try:
            rows.append((record, manifest.resolve(record)))
        except MedsslError:
            # a scan that is not there is nobody's copy; `manifest check` tells it
            continue
    groups = Groups()
    byte_copies(rows, groups, None)
    by_line = {record.line: record for record in manifest.records}
    return [[by_line[line] for line in lines] for lines in groups.lines()]


def strata_of(manifest: Manifest, units: Units, columns: Sequence[str]) -> dict[str, str]:
    """Unit → its group by some columns: words as they stand, numbers in quantile bins, labels by being there.

    Raises:
        UsageError: no row has such a column.
    """
    out = dict.fromkeys(units.names, "")
    for column in columns:
        values: dict[str, set[str]] = {name: set() for name in units.names}
        for record in manifest.records:
            value = _value(record, column)
            if value:
                values[units.of(record)].add(value)
        if not any(values.values()):
            have = sorted({name for record in manifest.records for name in record.row()} - {"image"})
            raise UsageError(f"no row has a value in {column}, there are: {', '.join(have)}", path="--stratify")
        levels = _binned(values)
        out = {name: f"{out[name]}\0{levels[name]}" for name in units.names}
    return out


def _value(record: Record, column: str) -> str:
    if column == "label":
        return "labelled" if record.label else "unlabelled"
    known = str(getattr(record, column)) if column in COLUMNS else record.targets.get(column, "")
    return known.strip()


def _binned(values: Mapping[str, set[str]]) -> dict[str, str]:
    every = {value for found in values.values() for value in found}
    try:
        numbers = {value: float(value) for value in every}
    except ValueError:
        numbers = {}
    if len(every) <= _MOST_LEVELS or not all(math.isfinite(number) for number in numbers.values()) or not numbers:
        return {name: "\0".join(sorted(found)) for name, found in values.items()}
    means = {name: float(np.mean([numbers[v] for v in found])) for name, found in values.items() if found}
    edges = np.quantile(list(means.values()), np.arange(1, BINS) / BINS)
    return {name: str(int(np.searchsorted(edges, means[name]))) if name in means else "" for name in values}
