"""``medssl manifest``: make, validate and split manifests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Progress = Callable[[int, int, str], None]

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Splits and their shares where none are given."""


def build_manifest(
    folder: str | Path,
    out: str | Path,
    *,
    layout: str | None = None,
    each_volume: bool = False,
    sha256: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a manifest of a folder of scans; see ``medssl.io.manifests.build.build_manifest``."""
    from medssl.io.manifests.build import build_manifest as build

    return build(folder, out, layout=layout, each_volume=each_volume, sha256=sha256, progress=progress)


def check_manifest(
    path: str | Path,
    root: str | Path | None = None,
    *,
    deep: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find every problem of a manifest in one run; see ``medssl.io.manifests.check.check_manifest``.

    Returns:
        ``path``, ``rows``, ``patients``, ``deep``, ``ok``, ``problems`` (as data), ``duplicates`` (lines of rows
        with one and the same scan), ``lines`` (errors as ``file:line: reason [code]``) and ``warnings`` (likewise).
    """
    from medssl.io.manifests.check import check_manifest as check

    report = check(path, root, deep=deep, workers=workers, progress=progress)
    return {
        **report.plain(),
        "lines": [str(problem) for problem in report.problems if problem.severity == "error"],
        "warnings": [str(problem) for problem in report.problems if problem.severity == "warning"],
    }


def split_manifest(
    path: str | Path,
    out: str | Path,
    fractions: Mapping[str, float] | None = None,
    seed: int = 0,
    root: str | Path | None = None,
    *,
    folds: int | None = None,
    stratify: Sequence[str] = (),
    exact: bool = False,
    keep: bool = False,
    link: Sequence[str] = (),
) -> dict[str, Any]:
    """Split by patient and write the manifest, with its classes, to ``out``; see ``io.manifests.split``.

    Args:
        path: the manifest.
        out: the one to write.
        fractions: split → share; ``SHARES`` without it, unless folds are asked for.
        seed: another one gives other splits.
        root: what the manifest's paths are relative to; its own folder by default.
        folds: write this many folds into ``fold``, leaving the split ``test`` out.
        stratify: columns in whose groups the shares hold each.
        exact: shares hold to within one patient; a few then move when others are added.
        keep: patients who have a split keep it.
        link: ``study`` or ``copies``: what makes two ids one patient.

    Returns:
        ``manifest``, ``seed`` and, for each split and fold, ``rows`` and ``patients``.
    """
    from medssl.classes import write_classes
    from medssl.io.manifests.split import Manner, assign_folds, assign_splits
    from medssl.manifest import Manifest

    manner = Manner(tuple(stratify), exact, keep, tuple(link))
    done = Manifest.read(path, root)
    shares = fractions if fractions is not None or folds is not None else SHARES
    if shares is not None:
        done = assign_splits(done, shares, seed, manner)
    if folds is not None:
        done = assign_folds(done, folds, seed, manner)
    done.write(out)
    if done.classes and not Path(out).with_suffix(".yaml").exists():
        write_classes(Path(out).with_suffix(".yaml"), done.classes, done.digest())
    splits, in_folds = _counts(done.records, "split"), _counts(done.records, "fold")
    splits = {name: splits[name] for name in shares or splits if name in splits}
    return {"manifest": str(out), "seed": seed, "splits": splits, "folds": in_folds if folds is not None else {}}


def _counts(records: Sequence[Any], column: str) -> dict[str, dict[str, int]]:
    groups: dict[str, list[Any]] = {}
    for record in records:
        if getattr(record, column):
            groups.setdefault(getattr(record, column), []).append(record)
    return {
        name: {"rows": len(rows), "patients": len({row.patient_id for row in rows})}
        for name, rows in sorted(groups.items())
    }
