"""Which whole scans say nothing new: a greedy cover over the signatures of a manifest's scans.

Two scans are doubles if they are equal voxel by voxel, or if their ``scan_distance`` is at most the threshold. Measured
(see ``DEFAULT_THRESHOLD``), this tells the same head or trunk scanned or stored again from another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medssl.datasets.progress import Progress, silent
from medssl.manifest import Record
from medssl.reduction.cover import greedy_cover
from medssl.reduction.signature import Signature, scan_distance

DEFAULT_THRESHOLD = 6
"""Bits of 64. On 25 mouse brains and their 8 copies, distinct animals are 8.5 or more apart and copies 0; on 20 human
brains, distinct people are 8 or more apart and the two who were scanned twice 3.5 and 6. Brains of one strain are much
alike: beyond 8 distinct animals would be left out."""

TRAINING_SPLITS = ("", "train", "pretrain")
"""Rows of these splits can be left out; a row of any other split is neither left out nor stands for one."""


@dataclass(frozen=True)
class Removed:
    """A scan that was left out.

    Args:
        record: the row.
        reason: in words.
        kept: the row that stands for it.
        distance: between the two, in bits of 64.
    """

    record: Record
    reason: str
    kept: Record
    distance: float


@dataclass(frozen=True)
class ScanReduction:
    """What is left of a manifest.

    Args:
        kept: the rows that stay, in manifest order, those of other splits among them.
        removed: the rows left out, in manifest order.
    """

    kept: tuple[Record, ...]
    removed: tuple[Removed, ...]


def reduce_scans(
    records: Sequence[Record],
    sign: Callable[[Record], Signature],
    threshold: float = DEFAULT_THRESHOLD,
    keep_patients: bool = False,
    progress: Progress = silent,
) -> ScanReduction:
    """Leave out scans that a kept scan stands for.

    Labelled scans come first, then the rest, each in manifest order: a label is never lost to an unlabelled double.
    Rows of one study whose modalities are named and all different are channels of one scan: they stay or go
    together, compared modality by modality. Patient ids do not matter to the cover, since the same scan under a
    second id is what most needs leaving out; a patient is emptied only if doubles of all their scans are kept
    elsewhere.

    Args:
        records: the manifest's rows.
        sign: gives the signature of a row's scan, called once for each row that can be left out.
        threshold: the largest distance of a double.
        keep_patients: keep the first scan of a patient who would be left with none.
        progress: told at every scan.
    """
    open_rows = [n for n, record in enumerate(records) if record.split in TRAINING_SPLITS]
    signatures: dict[int, Signature] = {}
    for done, row in enumerate(open_rows):
        progress(done, len(open_rows), "hashing scans")
        signatures[row] = sign(records[row])
    progress(len(open_rows), len(open_rows), "hashing scans")
    units = _units(records, open_rows)
    units.sort(key=lambda unit: not any(records[row].label for row in unit))

    def distances(first: int, others: NDArray[np.int64]) -> NDArray[np.float64]:
        far = [_unit_distance(records, signatures, units[first], units[other]) for other in others]
        return np.array(far, dtype=np.float64)

    cover = greedy_cover(len(units), distances, threshold)
    gone: dict[int, Removed] = {}
    for number in cover.removed:
        twins = _pair(records, units[number], units[cover.stands_for[number]])
        for row, kept in twins:
            same = signatures[row].digest == signatures[kept].digest
            gone[row] = Removed(
                record=records[row],
                reason=_reason(records[row], records[kept], same),
                kept=records[kept],
                distance=0.0 if same else scan_distance(signatures[row], signatures[kept]),
            )
    if keep_patients:
        _give_back(records, gone)
    kept_rows = tuple(record for n, record in enumerate(records) if n not in gone)
    return ScanReduction(kept_rows, tuple(gone[n] for n in sorted(gone)))


def _units(records: Sequence[Record], rows: Sequence[int]) -> list[list[int]]:
    """Rows that stay or go together, in the order of their first row."""
    studies: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        record = records[row]
        alone = str(row) if not record.study_id else ""
        studies.setdefault((record.patient_id, record.study_id, alone), []).append(row)
    units: list[list[int]] = []
    for study in studies.values():
        modalities = [records[row].modality for row in study]
        channels = all(modalities) and len(set(modalities)) == len(modalities)
        units += [study] if channels else [[row] for row in study]
    return sorted(units)


def _pair(records: Sequence[Record], one: Sequence[int], other: Sequence[int]) -> list[tuple[int, int]]:
    """Rows of two units that face each other: the same modality, or the only two; empty where they do not match."""
    if len(one) == len(other) == 1:
        return [(one[0], other[0])]
    by_modality = {records[row].modality: row for row in other}
    if {records[row].modality for row in one} != set(by_modality) or len(one) != len(other):
        return []
    return [(row, by_modality[records[row].modality]) for row in one]


def _unit_distance(
    records: Sequence[Record], signatures: dict[int, Signature], one: Sequence[int], other: Sequence[int]
) -> float:
    """The largest distance between rows that face each other; infinite where the units do not match."""
    pairs = _pair(records, one, other)
    if not pairs:
        return float("inf")
    return max(
        0.0 if signatures[a].digest == signatures[b].digest else scan_distance(signatures[a], signatures[b])
        for a, b in pairs
    )


def _reason(record: Record, kept: Record, same: bool) -> str:
    what = "equal voxel by voxel to" if same else "looks the same as"
    whose = (
        "another scan of the same patient" if record.patient_id == kept.patient_id else "a scan of another patient id"
    )
    return f"{what} {whose}"


def _give_back(records: Sequence[Record], gone: dict[int, Removed]) -> None:
    """Take the first scan of every emptied patient out of ``gone``."""
    staying = {record.patient_id for n, record in enumerate(records) if n not in gone}
    for row in sorted(gone):
        patient = records[row].patient_id
        if patient not in staying:
            del gone[row]
            staying.add(patient)
