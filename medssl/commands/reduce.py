"""Leave redundant scans or slices out of a manifest, with the reason for each."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from medssl.atomic import make_folder, write_text
from medssl.classes import write_classes
from medssl.datasets.progress import Progress, silent
from medssl.errors import UsageError
from medssl.manifest import Manifest, Record

MANIFEST = "manifest.csv"
REMOVED = "removed.csv"


def reduce(
    manifest: str | Path | Manifest,
    out: str | Path,
    *,
    root: str | Path | None = None,
    unit: str = "scan",
    threshold: int | None = None,
    keep_patients: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a smaller manifest and the list of what was left out.

    Rows of test and validation splits pass through untouched. Paths stay relative to the root of the manifest that
    was read: use the same root with the new one.

    Args:
        manifest: the rows.
        out: folder for ``manifest.csv`` and ``removed.csv``.
        root: what the manifest's paths are relative to, by default its folder.
        unit: ``"scan"``, or ``"slice"`` for slices within each scan, written to the column ``slices``.
        threshold: the largest Hamming distance of a double, of 64 bits; by default 6.
        keep_patients: keep a scan of every patient, doubles or not (unit ``"scan"``).
        progress: told at every scan.

    Returns:
        Plain data: the files written, how many were kept and left out, and ``removed``, a row for each.

    Raises:
        UsageError: an unknown unit or a negative threshold, or ``out`` holds the manifest that is read.
        InputError: a manifest or scan is refused.
    """
    if unit not in ("scan", "slice"):
        raise UsageError(f"the unit is scan or slice, got {unit!r}")
    if threshold is not None and threshold < 0:
        raise UsageError(f"the threshold must be 0 or more, got {threshold}")
    read_from = manifest if isinstance(manifest, Manifest) else Manifest.read(manifest, root)
    folder = Path(out)
    if (folder / MANIFEST).resolve() == read_from.path.resolve():
        raise UsageError("the output would replace the manifest that is read", path=folder, code="exists")
    limit = 6 if threshold is None else threshold
    work = progress or silent
    kept, rows = _scans(read_from, limit, keep_patients, work) if unit == "scan" else _slices(read_from, limit, work)
    _write(replace(read_from, records=tuple(kept)), rows, folder)
    return {
        "manifest": str(folder / MANIFEST),
        "removed_file": str(folder / REMOVED),
        "root": str(read_from.root),
        "unit": unit,
        "threshold": limit,
        "scans_before": len(read_from.records),
        "scans_kept": len(kept),
        "left_out": len(rows),
        "removed": rows,
    }


def _scans(
    manifest: Manifest, threshold: int, keep_patients: bool, progress: Progress
) -> tuple[list[Record], list[dict[str, Any]]]:
    from medssl.io.read import read_record
    from medssl.reduction.scans import reduce_scans
    from medssl.reduction.signature import signature

    result = reduce_scans(
        manifest.records,
        lambda record: signature(read_record(manifest, record)),
        threshold,
        keep_patients=keep_patients,
        progress=progress,
    )
    rows = [
        {"image": r.record.image, "reason": r.reason, "kept_image": r.kept.image, "distance": round(r.distance, 2)}
        for r in result.removed
    ]
    return list(result.kept), rows


def _slices(manifest: Manifest, threshold: int, progress: Progress) -> tuple[list[Record], list[dict[str, Any]]]:
    from medssl.io.read import read_record
    from medssl.reduction.scans import TRAINING_SPLITS
    from medssl.reduction.slices import reduce_slices, write_ranges

    kept: list[Record] = []
    rows: list[dict[str, Any]] = []
    for done, record in enumerate(manifest.records):
        progress(done, len(manifest.records), "hashing slices")
        if record.split not in TRAINING_SPLITS:
            kept.append(record)
            continue
        result = reduce_slices(read_record(manifest, record), threshold, only=record.slices)
        kept.append(replace(record, slices=write_ranges(result.kept)))
        for gone, stays, distance in result.removed():
            reason = "looks the same as another slice of the scan"
            where = {"image": record.image, "slice": gone, "reason": reason}
            rows.append({**where, "kept_image": record.image, "kept_slice": stays, "distance": distance})
    progress(len(manifest.records), len(manifest.records), "hashing slices")
    return kept, rows


def _write(manifest: Manifest, rows: list[dict[str, Any]], folder: Path) -> None:
    """Write classes, the list of what was left out, and last the manifest."""
    make_folder(folder)
    if manifest.classes:
        write_classes((folder / MANIFEST).with_suffix(".yaml"), manifest.classes)
    table = io.StringIO(newline="")
    columns = list(rows[0]) if rows else ["image", "reason", "kept_image", "distance"]
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / REMOVED, table.getvalue())
    manifest.write(folder / MANIFEST)
