"""Every problem of a manifest in one run, in a stable order, each with its line and code (promises P18 to P22)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from medssl.classes import read_classes
from medssl.errors import InputError, MedsslError
from medssl.io.describe import describe
from medssl.io.manifests.check_copies import Groups, byte_copies, voxel_copies
from medssl.io.manifests.check_rows import present, row_problems
from medssl.io.manifests.check_scans import look_at
from medssl.io.manifests.problems import CheckReport, Problem
from medssl.io.parallel import in_order
from medssl.io.read import read_record
from medssl.manifest import Manifest, Record, parse

Progress = Callable[[int, int, str], None]


def check_manifest(
    path: str | Path,
    root: str | Path | None = None,
    *,
    deep: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Find every problem: form, paths, leaks, copies, and what reading each scan and label shows.

    Args:
        path: the manifest.
        root: what its paths are relative to; its own folder by default.
        deep: read every image and label: refused scans, labels' geometry and values, and copies in another dtype,
            storage order or format. Without it only form, paths, leaks and byte copies are found.
        workers: threads that read, a few by default; what they hold at once is bounded.
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
    problems += row_problems(manifest)
    rows = present(manifest, problems)
    groups = Groups()
    problems += byte_copies(rows, groups, progress)
    if deep:
        problems += _deep(manifest, [record for record, _ in rows], groups, workers, progress)
    problems += groups.problems
    named = sorted({Problem(p.line, p.code, p.reason, p.severity, str(where)) for p in problems})
    patients = len({record.patient_id for record in records})
    return CheckReport(str(where), len(records), patients, tuple(named), groups.lines(), deep)


def _deep(
    manifest: Manifest, records: list[Record], groups: Groups, workers: int | None, progress: Progress | None
) -> list[Problem]:
    look, cost = partial(look_at, manifest), partial(_cost, manifest)
    looks = list(in_order(look, records, "reading scans", workers=workers, progress=progress, cost=cost))
    out = [problem for one in looks for problem in one.problems]
    prints = [(one.record, one.print) for one in looks if one.print is not None]
    return out + voxel_copies(prints, groups, partial(read_record, manifest))


def _cost(manifest: Manifest, record: Record) -> int:
    """Bytes that a row needs at most, about: the image as read and as float32, the label, and room to compare."""
    try:
        path = manifest.resolve(record)
        if path.is_dir():
            return 4 * sum(entry.stat().st_size for entry in path.iterdir() if entry.is_file())
        known = describe(path)
    except (MedsslError, OSError):
        return 0
    return int(np.prod(known.shape)) * known.channels * known.volumes * 16
