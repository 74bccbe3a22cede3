"""What is in a file or folder, as plain data: geometry, intensities, flags and problems with their codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, MedsslError
from medssl.identifiers import hashed
from medssl.io.census import Census, take_census
from medssl.io.describe import describe, kind_of
from medssl.io.dicom.series import stack
from medssl.io.dicom.survey import Survey, survey
from medssl.io.dicom.volumes import Series
from medssl.io.guard import guarded
from medssl.io.parallel import in_order
from medssl.io.read import load
from medssl.io.values import checked
from medssl.volume import Volume, orientation_of, spacing_of

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_SAMPLES = 1_000_000

Entry = dict[str, Any]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Found:
    """What a file or folder holds.

    Args:
        volumes: one mapping a volume.
        objects: DICOM objects that are no images, each with its ``file`` and ``kind``; segmentations and structure
            sets with their ``type`` and ``segments`` too, or the ``problems`` that keep them from being used.
        passed_over: files that are no scans, each with its ``file`` and ``kind``.
    """

    volumes: list[Entry]
    objects: list[Entry]
    passed_over: list[Entry]


def inspect(
    path: str | Path, *, headers: bool = False, workers: int | None = None, progress: Progress | None = None
) -> Found:
    """Every volume of a file or folder.

    Args:
        path: the file or folder.
        headers: tell the geometry from headers alone; no voxel is read, and broken voxels stay unseen.
        workers: threads that read volumes, a few by default; what they hold at once is bounded.
        progress: called with parts done, parts in all, and what is being done.

    Returns:
        The volumes in order of their files, each with ``file``, ``format``, ``shape``, ``channels``, ``dtype``,
        ``spacing_mm``, ``orientation``, ``affine``, ``modality``, ``range``, ``quantiles``, ``flags`` and
        ``problems``, a list of ``{"file", "reason", "code", "hint"}``. A volume that is refused has problems, and
        a geometry where its header has one. Of a file with several volumes the first is told, with ``volume`` 0 and
        how many there are in ``volumes``. DICOM volumes have
        ``series`` (their number for ``read``), ``slices``, ``first_file``, the keyed hashes ``series_id`` and
        ``patient_id``.

    Raises:
        InputError: the path does not exist, or the folder holds no scan.
    """
    where = Path(path)
    census = take_census(where) if where.is_dir() else _of_file(where)
    surveyed = survey(census.dicom, where, progress) if census.dicom else Survey((), {}, (), (), ())
    tasks: list[Path | Series] = [*census.scans, *surveyed.series]
    read = partial(_entry, where, headers, surveyed)
    text = "reading headers" if headers else "reading volumes"
    volumes = list(in_order(read, tasks, text, workers=workers, progress=progress, cost=_cost))
    volumes += [_refused(where, "dicom", *errors) for errors in surveyed.lost]
    volumes += [_refused(where, "dicom", error) for error in surveyed.strays]
    volumes += [_refused(where, "", error) for error in census.broken]
    if not volumes and not surveyed.objects:
        raise InputError("no scans in the folder", path=where, code="missing")
    return Found(volumes, [_object(*found) for found in surveyed.objects], _kinds(census.others))


def _of_file(path: Path) -> Census:
    try:
        kind = kind_of(path)
    except MedsslError as error:
        if error.code == "missing":
            raise
        return Census(broken=[error])
    return Census(dicom=[path]) if kind == "dicom" else Census(scans=[path])


def _object(path: Path, kind: str) -> Entry:
    """An object that is no image; of a label its type and segments, or why it cannot be used."""
    entry: Entry = {"file": str(path), "kind": kind}
    if not any(name in kind for name in ("(SEG)", "(RTSTRUCT)")):
        return entry
    from medssl.io.labels.dicom_label import describe_labels

    try:
        found = guarded(lambda: describe_labels(path), path)
    except MedsslError as error:
        return {**entry, "problems": _problems(path, [error])}
    return {**entry, **{name: value for name, value in found.items() if name in ("type", "matrix", "segments")}}


def _kinds(found: Sequence[tuple[Path, str]]) -> list[Entry]:
    return [{"file": str(path), "kind": kind} for path, kind in found]


def _cost(task: Path | Series) -> int:
    """Bytes that reading needs at most, about: voxels as stored, scaled and looked at."""
    if isinstance(task, Series):
        rows, columns = task.frames[0].shape
        return rows * columns * len(task.frames) * 12
    try:
        found = describe(task)
    except MedsslError:
        return 0
    return int(np.prod(found.shape)) * found.channels * found.volumes * 12


def _entry(where: Path, headers: bool, surveyed: Survey, task: Path | Series) -> Entry:
    if isinstance(task, Series):
        return _series(where, headers, task, surveyed.broken.get(task, ()))
    return _file(task, headers)


def _file(path: Path, headers: bool) -> Entry:
    """A file's volume; of a 4D file the first one, with how many there are."""
    try:
        kind = kind_of(path)
        known = describe(path)
    except MedsslError as error:
        return _refused(path, "", error)
    geometry = _geometry(known.shape, known.channels, known.dtype, known.affine, known.flags)
    entry: Entry = {"file": str(path), "format": kind, **geometry, "modality": ""}
    if known.volumes > 1:
        entry |= {"volumes": known.volumes, "volume": 0}
    return _with_values(entry, path, None if headers else partial(load, path, None, entry.get("volume")))


def _series(where: Path, headers: bool, one: Series, broken: Sequence[MedsslError]) -> Entry:
    first = one.frames[0]
    entry: Entry = {"file": str(where), "format": "dicom"}
    known: Entry = {
        "modality": first.modality,
        "series": one.number,
        "slices": len(one.frames),
        "folder": os.path.commonpath([frame.path.parent for frame in one.frames]),
        "first_file": first.path.name,
        "series_id": one.key(),
        "patient_id": hashed(one.patient_id),
    }
    try:
        planes = guarded(lambda: stack(list(one.frames), one.folder), where)
    except MedsslError as error:
        return {**entry, **known, "flags": [], "problems": _problems(where, (*broken, error))}
    rows, columns = first.shape
    entry |= _geometry((columns, rows, len(one.frames)), 1, "", planes.affine, planes.flags) | known
    if broken:
        return {**entry, "problems": _problems(where, broken)}
    return _with_values(entry, where, None if headers else one.read)


def _geometry(
    shape: tuple[int, int, int], channels: int, dtype: str, affine: NDArray[np.float64], flags: Sequence[str]
) -> Entry:
    return {
        "shape": list(shape),
        "channels": channels,
        "dtype": dtype,
        "spacing_mm": [round(value, 6) for value in spacing_of(affine)],
        "orientation": orientation_of(affine),
        "affine": np.round(affine, 6).tolist(),
        "flags": list(flags),
    }


def _with_values(entry: Entry, path: Path, read: Callable[[], Volume] | None) -> Entry:
    """The entry with what only voxels tell; what the reader says of the geometry holds."""
    if read is None:
        return {**entry, "problems": []}
    try:
        scan = guarded(read, path)
    except MedsslError as error:
        return {**entry, "problems": _problems(path, [error])}
    problems: list[Entry] = []
    try:
        # a constant or non-finite volume still has a geometry to show
        checked(scan, path)
    except MedsslError as error:
        problems = _problems(path, [error])
    geometry = _geometry(scan.shape, len(scan.data), str(scan.data.dtype), scan.affine, scan.flags)
    modality = scan.tags.get("modality", entry["modality"])
    return {**entry, **geometry, "modality": modality, **_intensities(scan), "problems": problems}


def _refused(path: Path, kind: str, *errors: MedsslError) -> Entry:
    where = errors[0].path or str(path)
    return {"file": where, "format": kind, "flags": [], "problems": _problems(path, errors)}


def _problems(path: Path, errors: Sequence[MedsslError]) -> list[Entry]:
    """Each problem once, at its first file, with how many other files have it too."""
    alike: dict[tuple[str, str], list[MedsslError]] = {}
    for error in errors:
        alike.setdefault((error.code, error.reason), []).append(error)
    out = []
    for (code, reason), same in alike.items():
        more = f" (and so are {len(same) - 1} more files)" if len(same) > 1 else ""
        where, hint = same[0].path or str(path), same[0].hint or ""
        out.append({"file": where, "reason": reason + more, "code": code, "hint": hint})
    return out


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
