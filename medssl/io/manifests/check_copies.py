"""Scans that stand twice: as byte copies, or in another dtype, storage order or format."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from medssl.errors import MedsslError
from medssl.io.files import open_regular
from medssl.io.manifests.problems import Problem
from medssl.io.parallel import in_order
from medssl.manifest import Record
from medssl.volume import Volume, reorient

Progress = Callable[[int, int, str], None]

SAMPLES = 512
"""Voxels by which likely copies are found before they are compared whole."""

TOLERANCE = 1e-3
"""Largest difference of two copies, in standard deviations: what storing as 16-bit integers with a slope loses."""


@dataclass(frozen=True, eq=False)
class Print:
    """What is kept of a scan's voxels to find it again.

    Args:
        digest: of the voxels in canonical order and float32.
        shape: in canonical order, channels first.
        sample: ``SAMPLES`` voxels.
        spread: their standard deviation.
    """

    digest: str
    shape: tuple[int, ...]
    sample: NDArray[np.float32]
    spread: float


def print_of(volume: Volume) -> Print:
    """A scan's print, the same in every dtype, storage order and format.

    Example:
        >>> v = Volume(np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4), np.eye(4))
        >>> print_of(v).digest == print_of(Volume(v.data.astype(np.float32), v.affine)).digest
        True
    """
    data = canonical(volume)
    digest = hashlib.sha256(str(data.shape).encode() + data.tobytes()).hexdigest()
    flat = data.reshape(-1)
    at = np.linspace(0, flat.size - 1, min(SAMPLES, flat.size)).astype(np.int64)
    return Print(digest, data.shape, flat[at], float(flat[at].std()))


def canonical(volume: Volume) -> NDArray[np.float32]:
    """Voxels towards right, front and top, as float32; -0.0 and 0.0 are one value."""
    data: NDArray[np.float32] = np.ascontiguousarray(reorient(volume).data, dtype=np.float32)
    return np.add(data, np.float32(0))


class Groups:
    """Rows that hold one scan, joined as copies are found; each row is told once, against the first of its group."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._first: dict[int, Record] = {}
        self._members: dict[int, list[Record]] = {}

    def join(self, record: Record, other: Record, how: str) -> None:
        """Take note that a row holds the scan of an earlier one, unless that is known."""
        one, two = self._group(other), self._group(record)
        same_file = PurePosixPath(record.image) == PurePosixPath(other.image)
        if one[0] is two[0] or (same_file and not (record.volume or record.series_id)):
            return
        for member in two:
            self._first[member.line] = one[0]
        self._members[one[0].line] = sorted([*one, *two], key=lambda member: member.line)
        self.problems.append(_duplicate(record, other, how))

    def _group(self, record: Record) -> list[Record]:
        first = self._first.setdefault(record.line, record)
        return self._members.setdefault(first.line, [record])

    def lines(self) -> tuple[tuple[int, ...], ...]:
        """Lines of each group, in order."""
        firsts = {first.line for first in self._first.values()}
        groups = [tuple(member.line for member in self._members[line]) for line in firsts]
        return tuple(sorted(group for group in groups if len(group) > 1))


def _duplicate(record: Record, other: Record, how: str) -> Problem:
    across = bool(record.split and other.split and record.split != other.split)
    where = f", across the splits {other.split} and {record.split}" if across else ""
    patients = record.patient_id != other.patient_id
    whose = ", under another patient id" if patients and not across else ""
    reason = f"duplicate scan: {record.image} is {how} of {other.image} on line {other.line}{where}{whose}"
    return Problem(record.line, "manifest-check", reason, "error" if across or patients else "warning")


def byte_copies(rows: Sequence[tuple[Record, Path]], groups: Groups, progress: Progress | None) -> list[Problem]:
    """Files that are byte for byte the same join a group; files that are not what ``sha256`` says are problems."""
    by_size: dict[int, set[Path]] = defaultdict(set)
    for _, path in rows:
        if path.is_file():
            by_size[path.stat().st_size].add(path)
    doubtful = {path for group in by_size.values() if len(group) > 1 for path in group}
    wanted = sorted({path for record, path in rows if path in doubtful or (record.sha256 and path.is_file())})
    digests = dict(zip(wanted, in_order(_digest, wanted, "comparing files", progress=progress), strict=True))
    out: list[Problem] = []
    first: dict[str, Record] = {}
    for record, path in rows:
        digest = digests.get(path)
        if isinstance(digest, MedsslError):
            out.append(Problem(record.line, digest.code, digest.reason))
        elif digest is not None:
            if record.sha256 and record.sha256.strip().lower() != digest:
                out.append(Problem(record.line, "hash", f"{record.image} is not the file that sha256 names"))
            key = f"{digest} {record.volume} {record.series_id}"
            other = first.setdefault(key, record)
            if other is not record:
                groups.join(record, other, "a byte copy")
    return out


def _digest(path: Path) -> str | MedsslError:
    try:
        return file_digest(path)
    except MedsslError as error:
        return error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def voxel_copies(
    prints: Iterable[tuple[Record, Print]], groups: Groups, read: Callable[[Record], Volume]
) -> list[Problem]:
    """Scans of the same voxels join a group: equal as float32, or equal within rounding.

    Args:
        prints: rows with their prints.
        groups: takes the copies.
        read: gives a row's voxels again, where a likely copy has to be compared whole.
    """
    first: dict[str, Record] = {}
    by_shape: dict[tuple[int, ...], list[tuple[Record, Print]]] = defaultdict(list)
    for record, one in prints:
        other = first.setdefault(one.digest, record)
        if other is not record:
            groups.join(record, other, "a voxel copy")
        elif one.spread > 0:
            by_shape[one.shape].append((record, one))
    out = []
    for same in by_shape.values():
        for record, other in _likely(same):
            try:
                how = compared(read(other), read(record))
            except MedsslError as error:
                out.append(Problem(record.line, error.code, error.reason))
                continue
            if how:
                groups.join(record, other, how)
    return out


def _likely(rows: list[tuple[Record, Print]]) -> list[tuple[Record, Record]]:
    """Pairs whose samples agree, the earlier row second; only neighbours on a line through the samples are compared."""
    line = np.cos(np.arange(SAMPLES, dtype=np.float64))
    placed = sorted(
        ((float(one.sample @ line[: one.sample.size]), record.line, record, one) for record, one in rows),
        key=lambda place: place[:2],
    )
    pairs = []
    for at, (here, _, record, one) in enumerate(placed):
        near = 2 * TOLERANCE * one.spread
        for there, _, other, two in placed[at + 1 :]:
            if there - here > near * SAMPLES:
                break
            if float(np.abs(one.sample - two.sample).max()) <= near:
                pairs.append((max(record, other, key=_line), min(record, other, key=_line)))
    return sorted(pairs, key=lambda pair: (pair[0].line, pair[1].line))


def _line(record: Record) -> int:
    return record.line


def compared(one: Volume, two: Volume) -> str:
    """How the second volume copies the first, in words, or nothing where it does not.

    Example:
        >>> v = Volume(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4), np.eye(4))
        >>> compared(v, Volume(v.data + np.float32(1e-4), v.affine)), compared(v, Volume(v.data + 1, v.affine))
        ('a voxel copy, within rounding,', '')
    """
    a, b = canonical(one), canonical(two)
    near = a.shape == b.shape and float(np.abs(a - b).max()) <= TOLERANCE * float(a.std())
    return "a voxel copy, within rounding," if near else ""
