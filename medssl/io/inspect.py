"""What is in a file or folder, as plain data: geometry, intensities, flags and problems with their codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medssl.errors import InputError, MedsslError
from medssl.identifiers import hashed
from medssl.io.folder import dicom_folders, scan_files
from medssl.io.read import guarded, load
from medssl.io.sniff import sniff, suffix_of
from medssl.io.values import checked
from medssl.volume import Volume

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_SAMPLES = 1_000_000

Entry = dict[str, Any]
Progress = Callable[[int, int, str], None]


def inspect(path: str | Path, progress: Progress | None = None) -> list[Entry]:
    """Every volume of a file or folder.

    Args:
        path: the file or folder.
        progress: called with files done, files in all, and what is being done, for a folder.

    Returns:
        One mapping a volume: ``file``, ``format``, ``shape``, ``channels``, ``dtype``, ``spacing_mm``,
        ``orientation``, ``affine``, ``modality``, ``range``, ``quantiles``, ``flags`` and ``problems``, a list of
        ``{"file", "reason", "code", "hint"}``. A volume that is refused has problems and no geometry. DICOM
        volumes have ``series`` (their number for ``read``) and the keyed hashes ``series_id`` and ``patient_id``.

    Raises:
        InputError: the path does not exist, or the folder holds no scan.
    """
    where = Path(path)
    if not where.is_dir():
        return _file(where)
    files = list(scan_files(where))
    found = []
    for done, file in enumerate(files):
        found += _file(file)
        if progress is not None:
            progress(done + 1, len(files), "inspecting files")
    if next(dicom_folders(where), None) is not None:
        found += _dicom(where)
    if not found:
        raise InputError("no scans in the folder", path=where, code="missing")
    return found


def _file(path: Path) -> list[Entry]:
    try:
        kind = "nifti-pair" if suffix_of(path) in (".img", ".img.gz") else sniff(path)
    except MedsslError as error:
        if error.code == "missing":
            raise
        return [_refused(path, "", error)]
    return _dicom(path) if kind == "dicom" else [_volume(path, kind, lambda: load(path))]


def _dicom(path: Path) -> list[Entry]:
    from medssl.io.dicom import list_series

    try:
        series = list_series(path)
    except MedsslError as error:
        return [_refused(path, "dicom", error)]
    out = []
    for one in series:
        entry = _volume(path, "dicom", one.read)
        entry["series"] = one.number
        entry["slices"] = len(one.frames)
        entry["first_file"] = one.frames[0].path.name
        entry["series_id"] = hashed(one.series_uid)
        entry["patient_id"] = hashed(one.patient_id)
        out.append(entry)
    return out


def _refused(path: Path, kind: str, error: MedsslError) -> Entry:
    return {"file": str(path), "format": kind, "flags": [], "problems": [_problem(path, error)]}


def _problem(path: Path, error: MedsslError) -> Entry:
    return {"file": error.path or str(path), "reason": error.reason, "code": error.code, "hint": error.hint or ""}


def _volume(path: Path, kind: str, read: Callable[[], Volume]) -> Entry:
    try:
        scan = guarded(read, path)
    except MedsslError as error:
        return _refused(path, kind, error)
    problems = []
    try:
        # a constant or non-finite volume still has a geometry to show
        checked(scan, path)
    except MedsslError as error:
        problems.append(_problem(path, error))
    return {
        "file": str(path),
        "format": kind,
        "shape": list(scan.shape),
        "channels": int(scan.data.shape[0]),
        "dtype": str(scan.data.dtype),
        "spacing_mm": [round(value, 6) for value in scan.spacing_mm],
        "orientation": scan.orientation,
        "affine": np.round(scan.affine, 6).tolist(),
        "modality": scan.tags.get("modality", ""),
        **_intensities(scan),
        "flags": list(scan.flags),
        "problems": problems,
    }


def _intensities(scan: Volume) -> Entry:
    flat = scan.data.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLES)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return {"range": [], "quantiles": {}}
    whole = flat[np.isfinite(flat)] if flat.dtype.kind == "f" else flat
    values = np.quantile(sample, QUANTILES)
    return {
        "range": [float(whole.min()), float(whole.max())],
        "quantiles": {str(q): float(value) for q, value in zip(QUANTILES, values, strict=True)},
    }
