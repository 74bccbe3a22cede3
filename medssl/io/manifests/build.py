"""A manifest made from a folder: the layout is recognised, headers are read, what is no row is told with its reason."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from medssl.classes import read_json, write_classes
from medssl.errors import InputError, MedsslError, UsageError
from medssl.io.describe import describe
from medssl.io.description import Description
from medssl.io.manifests.check_copies import file_digest
from medssl.io.manifests.layouts import LAYOUTS
from medssl.io.manifests.layouts.found import Found, stem_of
from medssl.io.parallel import in_order
from medssl.manifest import Manifest, Record

Progress = Callable[[int, int, str], None]


def build_manifest(
    folder: str | Path,
    out: str | Path,
    *,
    layout: str | None = None,
    each_volume: bool = False,
    sha256: bool = False,
    salt: bytes | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a manifest of a folder's scans, and beside it a card: the version, the digest, the classes if known.

    Patient ids come from DICOM (as keyed hashes) or else from file names: look whether they fit before splitting.
    Image paths are relative to the manifest's own folder where the data lie below it, else to ``folder``, which
    then has to be given as the root. Headers are read, voxels are not.

    Args:
        folder: where the data lie.
        out: the ``.csv`` to write.
        layout: a key of ``LAYOUTS``; recognised without it.
        each_volume: make a row of each volume of a 4D file; such files are passed over otherwise.
        sha256: write the digest of each image file, which reading the store then verifies.
        salt: key of the hashes; the user's own by default.
        progress: called with done, total and what is being done.

    Returns:
        ``manifest``, ``root``, ``layout``, ``rows``, ``patients``, ``labels``, ``classes``, ``digest`` (of the
        manifest's content) and ``passed_over``.

    Raises:
        InputError: the folder does not exist or holds no scan that can be used.
        UsageError: no such layout, or ``out`` is no ``.csv`` in a folder that exists.
    """
    source, target = Path(folder), Path(out)
    if not source.is_dir():
        if source.exists():
            raise UsageError("expected a folder of scans, got a file", path=source)
        raise InputError("the data folder does not exist", path=source, code="missing")
    if target.suffix != ".csv" or not target.parent.is_dir() or target.is_dir():
        raise UsageError("expected the name of a .csv file in a folder that exists", path=target)
    name, found = _find(source, layout, salt, progress)
    found.records = _expanded(source, found, each_volume, progress)
    if not found.records:
        reasons = found.passed_over
        more = f": {reasons[0]['file']} {reasons[0]['reason']}" if reasons else ""
        raise InputError(f"no scans in the folder that can be used{more}", path=source, code="missing")
    if sha256:
        found.records = _digested(source, found, progress)
    root, prefix = source, ""
    if source.resolve().is_relative_to(target.parent.resolve()):
        root = target.parent
        prefix = source.resolve().relative_to(target.parent.resolve()).as_posix().removeprefix(".")
    manifest = Manifest(target, root, tuple(_below(record, prefix) for record in found.records), found.classes)
    manifest.write(target)
    card = target.with_suffix(".yaml")
    # a card that its user wrote holds what no folder says
    if found.classes or not card.exists():
        write_classes(card, found.classes, manifest.digest())
    return {
        "manifest": str(target),
        "root": str(root),
        "layout": name,
        "rows": len(manifest.records),
        "patients": len({record.patient_id for record in manifest.records}),
        "labels": sum(bool(record.label) for record in manifest.records),
        "classes": {str(value): name for value, name in found.classes.items()},
        "digest": manifest.digest(),
        "passed_over": found.passed_over,
    }


def _below(record: Record, prefix: str) -> Record:
    def put(name: str) -> str:
        return (Path(prefix) / name).as_posix() if name else ""

    return replace(record, image=put(record.image), label=put(record.label)) if prefix else record


def _find(source: Path, layout: str | None, salt: bytes | None, progress: Progress | None) -> tuple[str, Found]:
    json = source / "dataset.json"
    described = read_json(json) if json.is_file() else {}
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"expected a layout of {', '.join(LAYOUTS)}, got {layout}", path="--layout")
    for name, place in LAYOUTS.items():
        module = importlib.import_module(place.partition(":")[0])
        if name == layout or (layout is None and module.fits(source, described)):
            if layout is not None and not module.fits(source, described):
                raise InputError(f"the folder has not the layout {layout}", path=source, code="format")
            return name, module.find(source, described, salt, progress)
    raise InputError("no layout fits", path=source, code="format")


def _expanded(source: Path, found: Found, each_volume: bool, progress: Progress | None) -> list[Record]:
    """The rows whose headers can be read; files with several volumes as a row each, or passed over."""
    out = []
    described = in_order(partial(_described, source), found.records, "reading headers", progress=progress)
    for record, known in zip(found.records, described, strict=True):
        if isinstance(known, MedsslError):
            found.pass_over(record.image, f"{known.reason} [{known.code}]")
        elif known is None or known.volumes == 1:
            out.append(record)
        elif not each_volume:
            found.pass_over(record.image, f"holds {known.volumes} volumes; --each-volume makes a row of each")
        else:
            out += _each(record, known.volumes, found.channels)
    return out


def _described(source: Path, record: Record) -> Description | MedsslError | None:
    if record.series_id:
        return None
    try:
        return describe(source / record.image)
    except MedsslError as error:
        return error


def _each(record: Record, volumes: int, channels: Sequence[str]) -> list[Record]:
    """A row for each volume, sharing a study; named where the layout says what they are."""
    study = record.study_id or stem_of(Path(record.image))
    names = channels if len(channels) == volumes else [record.modality] * volumes
    return [replace(record, volume=str(number), study_id=study, modality=names[number]) for number in range(volumes)]


def _digested(source: Path, found: Found, progress: Progress | None) -> list[Record]:
    def digest(record: Record) -> str:
        path = source / record.image
        return file_digest(path) if path.is_file() else ""

    digests = in_order(digest, found.records, "computing checksums", progress=progress)
    return [replace(record, sha256=one) for record, one in zip(found.records, digests, strict=True)]
