"""From a manifest to a store: what is there and sound stays, the rest is made, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, IntegrityError
from medssl.identifiers import hashed
from medssl.io.read import read_record
from medssl.manifest import Manifest, Record
from medssl.store.build import key_of
from medssl.store.entry import FORMAT, Row, class_values, kept_in, read_voxels
from medssl.store.files import naming_disk_errors, remove_orphans, replace_file, seal
from medssl.store.resample import median_spacing
from medssl.store.rows import record_name, refuse_doubles, row_of, target_words
from medssl.store.settings import StoreSettings
from medssl.store.source import source_of
from medssl.store.store import ENTRIES, STORE_FILE, Store
from medssl.store.work import Found, Preparation, Progress, Work, silent
from medssl.visits import visit_days
from medssl.volume import Volume, reorient

Verify = Literal["quick", "full"]


def prepare(
    manifest: Manifest,
    out: Path,
    settings: StoreSettings,
    *,
    jobs: int | None = 1,
    verify: Verify = "quick",
    continue_on_error: bool = False,
    progress: Progress | None = None,
    max_bad: float | None = None,
    account: Preparation | None = None,
) -> Store:
    """Make or complete a store.

    Entries are named by what they are made of, so that a run goes on where another stopped, another manifest of the
    same scans finds them, and a changed source or setting makes a new one. Every file of an entry that is there is
    verified; a damaged entry is made anew.

    Args:
        manifest: which scans.
        out: the store's folder.
        settings: what is done to each.
        jobs: processes; None for as many as processors and memory allow. A script that asks for several must keep its
            own work under ``if __name__ == "__main__"``, since each process imports it anew.
        verify: ``full`` sums up every source anew; ``quick`` takes one for unchanged whose size, time and inode are
            what they were when the store was made.
        continue_on_error: set refused scans aside, in ``quarantine.json``, and go on.
        progress: told after every scan.
        max_bad: largest share of scans that may be set aside; without it a tenth, and one of any number.
        account: filled with what was done.

    Raises:
        InputError: a scan is refused; or too many are (``quarantine``).
        ResourceError: the disk is full; nothing half-written is left (``disk``).
    """
    folder = Path(out)
    refuse_doubles(manifest.records)
    new = [path for path in (folder / ENTRIES, folder, *folder.parents) if not path.exists()]
    with naming_disk_errors(folder):
        (folder / ENTRIES).mkdir(parents=True, exist_ok=True)
    with _removing_if_empty(new):
        work = Work(manifest, folder / ENTRIES, continue_on_error, progress or silent, account or Preparation(), jobs)
        return _prepare(manifest, folder, settings, work, max_bad, verify)


def _prepare(
    manifest: Manifest, folder: Path, settings: StoreSettings, work: Work, max_bad: float | None, verify: Verify
) -> Store:
    remove_orphans(folder)
    remove_orphans(folder / ENTRIES)
    earlier = _earlier(folder) if verify == "quick" else {}
    found = work.each(manifest.records, "source", "looking at the sources", lambda r: _look(manifest, r, earlier))
    resolved = settings
    if settings.spacing_mm == "median":
        affines = work.each(
            found, "read", "measuring voxels", lambda f: _affine(manifest, f, folder, earlier, settings)
        )
        resolved = settings.with_spacing(median_spacing(affines)) if affines else settings
    work.build(work.standing(found), resolved)
    sliced = [item for item in work.standing(found) if item.record.slices]
    work.each(sliced, "slices", "checking kept slices", lambda f: _check_slices(manifest, f, folder, resolved))
    if manifest.classes:
        labelled = [item for item in work.standing(found) if item.record.label]
        work.each(labelled, "label", "checking labels", lambda f: _check_classes(manifest, f, folder, resolved))
    work.finish(max_bad, folder)
    replace_file(folder / STORE_FILE, seal(_facts(manifest, settings, resolved, work.standing(found))))
    return Store.open(folder)


@contextmanager
def _removing_if_empty(folders: Sequence[Path]) -> Iterator[None]:
    """After an error, no folder stays that nothing was written to."""
    try:
        yield
    except BaseException:
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()
        raise


def _facts(manifest: Manifest, asked: StoreSettings, resolved: StoreSettings, found: Sequence[Found]) -> dict[str, Any]:
    """The content of ``store.json``."""
    words = target_words([item.record for item in found])
    keys = [key_of(item.content, item.record, resolved) for item in found]
    days = visit_days([item.record.patient_id for item in found], [item.record.targets for item in found])
    rows = [
        row_of(item.record, words, key, item.content, item.stamp, day)
        for item, key, day in zip(found, keys, days, strict=True)
    ]
    return {
        "format": FORMAT,
        "settings": resolved.contract(),
        "asked": asked.contract(),
        "manifest": manifest.digest(),
        "classes": {str(value): name for value, name in manifest.classes.items()},
        "target_names": words,
        "rows": [asdict(row) for row in rows],
    }


def is_current(path: Path, manifest: Manifest, settings: StoreSettings) -> bool:
    """Whether a store was made from this manifest with these settings and no source has been touched since.

    Looks at sizes and times only; a damaged entry shows when it is first read.
    """
    try:
        store = Store.open(path)
        if store.manifest_digest != manifest.digest() or store.asked != settings or len(store) != len(manifest.records):
            return False
        stamps = [source_of(manifest, record).stamp() for record in manifest.records]
    except (InputError, IntegrityError):
        return False
    return all(store.row(position).source == stamp for position, stamp in enumerate(stamps))


def _earlier(out: Path) -> dict[str, Row]:
    """Rows of the store that stands there, by the record's hash, so that untouched sources are not read again."""
    try:
        store = Store.open(out)
    except InputError:
        return {}
    return {store.row(position).record: store.row(position) for position in range(len(store))}


def _look(manifest: Manifest, record: Record, earlier: Mapping[str, Row]) -> Found:
    source = source_of(manifest, record)
    stamp = source.stamp()
    known = earlier.get(hashed(record_name(record)))
    if known is not None and known.source == stamp and not record.sha256:
        return Found(record, known.content, stamp)
    return Found(record, source.content(record.sha256), stamp)


def _check_slices(manifest: Manifest, found: Found, out: Path, settings: StoreSettings) -> None:
    voxels = read_voxels(out / ENTRIES / key_of(found.content, found.record, settings))
    try:
        if voxels is not None:
            kept_in(voxels, found.record.slices)
    except InputError as error:
        raise InputError(f"line {found.record.line}: {error.reason}", path=manifest.path, code=error.code) from error


def _check_classes(manifest: Manifest, found: Found, out: Path, settings: StoreSettings) -> None:
    values = class_values(out / ENTRIES / key_of(found.content, found.record, settings))
    undeclared = sorted(values - set(manifest.classes) - {0})
    if undeclared:
        shown = ", ".join(str(value) for value in undeclared)
        raise InputError(
            f"line {found.record.line}: {found.record.label} has values that are no declared class: {shown},"
            f" expected {sorted(manifest.classes)}",
            path=manifest.path,
            code="label",
        )


def _affine(
    manifest: Manifest, found: Found, out: Path, earlier: Mapping[str, Row], settings: StoreSettings
) -> NDArray[np.float64]:
    """The affine of a scan in the store's orientation, before resampling."""
    known = earlier.get(hashed(record_name(found.record)))
    voxels = read_voxels(out / ENTRIES / known.key) if known is not None and known.content == found.content else None
    if voxels is None:
        volume = read_record(manifest, found.record)
        shape, affine = volume.shape, volume.affine
    else:
        shape, affine = voxels.original_shape, voxels.original_affine
    return reorient(Volume(np.broadcast_to(np.uint8(0), (1, *shape)), affine), settings.orientation).affine
