"""Entries that are found damaged while a run reads them are made anew from their source, so that the run goes on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from medssl.errors import InputError, MedsslError
from medssl.identifiers import hashed
from medssl.manifest import Manifest
from medssl.store.build import build_entry, one_row
from medssl.store.entry import Row, entry_is_sound
from medssl.store.rows import record_name
from medssl.store.settings import StoreSettings
from medssl.store.source import source_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Healer:
    """Makes a damaged entry anew.

    Args:
        manifest: the store's, with its root.
        settings: with the spacing in numbers.
        entries: folder of the entries.
    """

    manifest: Manifest
    settings: StoreSettings
    entries: Path

    def heal(self, row: Row) -> None:
        """Make the entry of a row again; another process that does the same is waited for by nobody and harms nothing.

        Raises:
            MedsslError: the source is gone, has changed, or is refused.
        """
        record = next((one for one in self.manifest.records if hashed(record_name(one)) == row.record), None)
        if record is None:
            raise InputError("its row is not in the manifest", path=self.entries / row.key, code="store-corrupt")
        if source_of(self.manifest, record).content(record.sha256) != row.content:
            raise InputError(
                "its source has changed since it was prepared",
                path=self.entries / row.key,
                code="store-corrupt",
                hint="run medssl prepare again",
            )
        # one line, with the entry's name and nothing of the person's
        log.warning("store entry %s was damaged and is made anew", row.key)
        build_entry(one_row(self.manifest, record), row.key, self.entries, self.settings)
        if not entry_is_sound(self.entries / row.key):
            raise MedsslError("could not be made anew", path=self.entries / row.key, code="store-corrupt")
