"""One entry of the store: read, process, write under a temporary name, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from medssl.atomic import sync_folder
from medssl.errors import MedsslError
from medssl.io.read import read_record, read_record_label
from medssl.manifest import Manifest, Record
from medssl.store.entry import FORMAT, entry_is_sound, write_entry
from medssl.store.files import naming_disk_errors, remove, temporary_name
from medssl.store.process import process
from medssl.store.settings import StoreSettings


def key_of(content: str, record: Record, settings: StoreSettings) -> str:
    """The name of a row's entry: of the source's bytes, the settings and the store's format.

    Args:
        content: digest of the source files.
        record: its modality decides whether the HU window applies; its series and volume are a choice among the files.
        settings: with the spacing in numbers.
    """
    facts = [FORMAT, content, settings.contract(), settings.windowed(record.modality), record.series_id]
    if settings.suv:
        facts.append(settings.uptake(record.modality))
    if record.volume:
        facts.append(record.volume)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def one_row(manifest: Manifest, record: Record) -> Manifest:
    """A manifest of a single row: small enough to be sent to another process."""
    return replace(manifest, records=(record,))


def build_entry(manifest: Manifest, key: str, entries: Path, settings: StoreSettings) -> None:
    """Make the entry of a manifest's only row; if another process makes the same one, the first stays.

    Raises:
        MedsslError: the scan is refused, naming its file; or the disk is full (``disk``), and nothing is left behind.
    """
    record = manifest.records[0]
    image = manifest.resolve(record)
    volume = read_record(manifest, record, suv=settings.uptake(record.modality))
    try:
        done = process(volume, settings, read_record_label(manifest, record, volume), record.modality)
    except MedsslError as error:
        if error.path is not None:
            raise
        raise type(error)(error.reason, path=image, code=error.code, hint=error.hint) from error
    temporary = entries / temporary_name()
    needed = 2 * done.image.data.size + (0 if done.label is None else done.label.nbytes)
    with naming_disk_errors(entries, needed):
        try:
            temporary.mkdir()
            write_entry(temporary, key, volume, done)
            put_in_place(temporary, entries / key)
        finally:
            remove(temporary)


def put_in_place(temporary: Path, entry: Path) -> None:
    """Give a finished folder its name, in the place of a damaged one but never of a sound one."""
    while True:
        try:
            os.rename(temporary, entry)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            sync_folder(entry.parent)
            return
        if entry_is_sound(entry):
            return
        aside = entry.parent / temporary_name()
        # another process may have moved it first
        with suppress(FileNotFoundError):
            os.rename(entry, aside)
            remove(aside)
