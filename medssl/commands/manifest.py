"""``medssl manifest``: make, validate and split manifests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Progress = Callable[[int, int, str], None]


def build_manifest(folder: str | Path, out: str | Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Make a manifest of a folder of scans; see ``medssl.io.build.build_manifest``."""
    from medssl.io.build import build_manifest as build

    return build(folder, out, progress=progress)


def check_manifest(
    path: str | Path,
    root: str | Path | None = None,
    *,
    deep: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find every problem of a manifest in one run; see ``medssl.io.check.check_manifest``.

    Returns:
        ``path``, ``rows``, ``patients``, ``ok``, ``problems`` (as data), ``lines`` (errors as
        ``file:line: reason [code]``) and ``warnings`` (likewise).
    """
    from medssl.io.check import check_manifest as check

    report = check(path, root, deep=deep, progress=progress)
    return {
        **report.plain(),
        "lines": [str(problem) for problem in report.problems if problem.severity == "error"],
        "warnings": [str(problem) for problem in report.problems if problem.severity == "warning"],
    }


def split_manifest(
    path: str | Path, out: str | Path, fractions: Mapping[str, float], seed: int = 0, root: str | Path | None = None
) -> dict[str, Any]:
    """Split by patient and write the manifest, with its classes, to ``out``; see ``medssl.io.split.assign_splits``.

    Returns:
        ``manifest``, ``seed`` and, for each split, ``rows`` and ``patients``.
    """
    from medssl.classes import write_classes
    from medssl.io.split import assign_splits
    from medssl.manifest import Manifest

    done = assign_splits(Manifest.read(path, root), fractions, seed)
    done.write(out)
    if done.classes and not Path(out).with_suffix(".yaml").exists():
        write_classes(Path(out).with_suffix(".yaml"), done.classes)
    splits = {}
    for name in fractions:
        records = [record for record in done.records if record.split == name]
        splits[name] = {"rows": len(records), "patients": len({record.patient_id for record in records})}
    return {"manifest": str(out), "seed": seed, "splits": splits}
