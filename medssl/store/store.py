"""The store on disk: scans ready for training, read box by box through memory maps."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, from_os_error
from medssl.manifest import Manifest
from medssl.store.blocks import DamagedError, Reading
from medssl.store.body_mask import BodyMask
from medssl.store.entry import ENTRY_FILE, FORMAT, Entry, Row, kept_in, voxels_of
from medssl.store.files import unseal
from medssl.store.heal import Healer
from medssl.store.location import LocalFolder, RemoteFolder, location_of
from medssl.store.rows import sequence_number
from medssl.store.settings import StoreSettings
from medssl.store.studies import group_studies

STORE_FILE = "store.json"
ENTRIES = "entries"
ENTRIES_KEPT = 4096
"""Entries whose facts, label points and body stay in memory."""

T = TypeVar("T")
_KEY = re.compile(r"[0-9a-f]{32}")
_AGAIN = "run medssl prepare again: it rebuilds what is damaged"


@dataclass(frozen=True, eq=False)
class Grouped:
    """The studies that a store's places stand for.

    Args:
        source: the store of single scans.
        sequences: the channels' names.
        members: for each place and channel the scan's position in ``source``, None where it is missing.
    """

    source: Store
    sequences: tuple[str, ...]
    members: tuple[tuple[int | None, ...], ...]


class Store:
    """An opened store.

    Files are read box by box; every mebibyte is verified when a process first touches it. Only a bounded part is held
    in memory, whatever the store's size. Processes share nothing but the files: a store can be passed to workers.

    Args:
        path: the store's folder.
        settings: what was done to the scans.
        rows: one for each scan, in the manifest's order.
        facts: the rest of ``store.json``.
        grouped: where a place stands for a study with several sequences, see ``studies``.
        location: what reads its files; the folder ``path`` by default.
    """

    def __init__(
        self,
        path: Path,
        settings: StoreSettings,
        rows: Sequence[Row],
        facts: Mapping[str, Any],
        grouped: Grouped | None = None,
        location: LocalFolder | RemoteFolder | None = None,
    ) -> None:
        self.path = path
        self.settings = settings
        self._rows = list(rows)
        self._facts = dict(facts)
        self._grouped = grouped
        self._location = location if location is not None else LocalFolder(path)
        self._healer: Healer | None = None
        self._entries: OrderedDict[int, Entry] = OrderedDict()

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store.

        Args:
            path: its folder, or a place that fsspec reads, as ``s3://bucket/store``.

        Raises:
            InputError: ``missing``, ``store-version`` (made by another version) or ``store-corrupt``.
            ResourceError: the place cannot be reached (``network``).
        """
        location = location_of(path)
        where = location.name()
        try:
            content = location.read(STORE_FILE)
        except FileNotFoundError as error:
            raise InputError(
                "holds no store (store.json is missing)", path=where, code="missing", hint="medssl prepare makes one"
            ) from error
        except OSError as error:
            raise from_os_error(error, location.name(STORE_FILE)) from error
        data = unseal(content)
        if data is None:
            raise InputError("store.json is damaged", path=where, code="store-corrupt", hint=_AGAIN)
        if data.get("format") != FORMAT:
            raise InputError(
                f"expected a store of format {FORMAT}, got {data.get('format')}",
                path=where,
                code="store-version",
                hint="run medssl prepare again",
            )
        rows = [Row.from_plain(row) for row in data["rows"]]
        if not all(_KEY.fullmatch(row.key) for row in rows):
            raise InputError(
                "store.json names a folder that is no entry", path=where, code="store-corrupt", hint=_AGAIN
            )
        facts = {name: data[name] for name in ("classes", "target_names", "manifest", "asked")}
        return cls(Path(where), StoreSettings.from_contract(data["settings"]), rows, facts, location=location)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def classes(self) -> dict[int, str]:
        """Label values and their names."""
        return {int(value): name for value, name in self._facts["classes"].items()}

    @property
    def target_names(self) -> dict[str, list[str]]:
        """Target columns of words: the word that each number stands for."""
        return {column: list(names) for column, names in self._facts["target_names"].items()}

    @property
    def manifest_digest(self) -> str:
        """Digest of the manifest that the store was made from."""
        return str(self._facts["manifest"])

    @property
    def asked(self) -> StoreSettings:
        """The settings as they were asked for, with the word ``median`` where it was given."""
        return StoreSettings.from_contract(self._facts["asked"])

    def ids(self, position: int) -> dict[str, int]:
        """``patient``, ``study``, ``series``, ``record``, ``time`` and ``sequence`` of a scan; -1 where unknown."""
        row = self._rows[position]
        return {"time": -1, "sequence": sequence_number(row.modality), **row.ids}

    def modality(self, position: int) -> str:
        """``CT``, ``MR``, … as in the manifest, or empty."""
        return self._rows[position].modality

    def targets(self, position: int) -> dict[str, float]:
        """Target columns to numbers."""
        return dict(self._rows[position].targets)

    def row(self, position: int) -> Row:
        """What the manifest said of a scan."""
        return self._rows[position]

    def name(self, position: int) -> str:
        """Where a scan's files lie, for messages."""
        return self._location.name(ENTRIES, self._rows[position].key)

    def entry(self, position: int) -> Entry:
        """Geometry, intensity, label points and ids of a scan; no voxels.

        Raises:
            InputError: ``store-corrupt``, naming the entry.
        """
        found = self._entries.get(position)
        if found is None:
            found = self._entries[position] = self._sound(position, lambda: self._entry(position))
            if len(self._entries) > ENTRIES_KEPT:
                self._entries.popitem(last=False)
        return found

    def read(self, position: int, low: Sequence[int], high: Sequence[int]) -> NDArray[np.int16]:
        """The stored integers of a box inside the scan.

        Args:
            position: which scan.
            low: first voxel of the box.
            high: one past its last voxel.

        Returns:
            ``(C, i, j, k)``, a view into the memory map: do not write to it.

        Raises:
            InputError: ``store-corrupt``, naming the entry.
            ValueError: the box is empty or leaves the scan.
        """
        return self._box(position, "image.npy", low, high)

    def read_label(self, position: int, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        """The label map in a box, ``(1, i, j, k)`` uint8 or uint16; see ``read``.

        Raises:
            InputError: the scan has no label map (``label``).
        """
        if not self.entry(position).voxels.labelled:
            raise InputError(
                "a label map is asked for and there is none",
                path=self.name(position),
                code="label",
                hint="give the manifest's row a label, or leave it out of this split",
            )
        return self._box(position, "label.npy", low, high)

    def positions(self, split: str | None = None) -> list[int]:
        """Positions of the scans of a split, or of all."""
        return [position for position, row in enumerate(self._rows) if split is None or row.split == split]

    def subset(self, positions: Sequence[int]) -> Store:
        """The same store with these scans alone, numbered anew from 0."""
        rows = [self._rows[position] for position in positions]
        if self._grouped is None:
            return self._like(rows, None)
        members = tuple(self._grouped.members[position] for position in positions)
        grouped = Grouped(self._grouped.source, self._grouped.sequences, members)
        return self._like(rows, grouped)

    def studies(self, sequences: Sequence[str]) -> Store:
        """The same scans with one place for each study: its sequences are the channels of one image.

        What is said of a place (geometry, label, ids, targets) is that of the study's first labelled scan, or of its
        first. The scans of a study must lie in one frame of reference; they may have grids of their own.

        Args:
            sequences: names as in the manifest's ``modality``, in the order of the channels.

        Raises:
            InputError: a study has a sequence twice, no row is of any, or a scan has several channels itself.
        """
        labelled = [self.entry(position).voxels.labelled for position in range(len(self))]
        rows = [(row.ids["patient"], row.ids["study"], row.modality) for row in self._rows]
        found = group_studies(rows, sequences, labelled)
        for position in (number for study in found for number in study.channels if number is not None):
            if self.entry(position).voxels.shape[0] != 1:
                raise InputError(
                    "a sequence of a study must have one channel", path=self.name(position), code="not-a-volume"
                )
        chosen = [self._rows[study.reference] for study in found]
        grouped = Grouped(self, tuple(sequences), tuple(study.channels for study in found))
        return self._like(chosen, grouped)

    @property
    def sequences(self) -> tuple[str, ...]:
        """Names of the channels where places are studies, else empty."""
        return () if self._grouped is None else self._grouped.sequences

    @property
    def in_channels(self) -> int:
        """Channels of a view: those of the first scan, or the sequences of a study."""
        return len(self.sequences) or self.entry(0).voxels.shape[0]

    def channels(self, position: int) -> tuple[tuple[Store, int] | None, ...]:
        """The scans that a place's channels come from: store and position, None where a sequence is missing."""
        if self._grouped is None:
            return ((self, position),)
        source = self._grouped.source
        return tuple(None if number is None else (source, number) for number in self._grouped.members[position])

    def healing(self, manifest: Manifest) -> Store:
        """The same store, whose damaged entries are made anew from their source when they are met.

        Args:
            manifest: that the store was made from, with its root.
        """
        self._healer = Healer(manifest, self.settings, self.path / ENTRIES)
        return self

    def _like(self, rows: Sequence[Row], grouped: Grouped | None) -> Store:
        """A store of some of the same entries."""
        out = Store(self.path, self.settings, rows, self._facts, grouped, self._location)
        out._healer = self._healer
        return out

    def _box(self, position: int, name: str, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        shape = self.entry(position).voxels.shape[1:]
        if not all(0 <= a < b <= n for a, b, n in zip(low, high, shape, strict=True)):
            raise ValueError(f"a box must lie inside the scan {shape}, got {tuple(low)} to {tuple(high)}")
        return self._sound(position, lambda: self._open(position, name).box(low, high), f"{name}: ")

    def _open(self, position: int, name: str) -> Reading:
        voxels = self.entry(position).voxels
        array = self._location.open(f"{ENTRIES}/{voxels.key}", name, voxels.files[name])
        if array.shape[1:] != voxels.shape[1:]:
            raise DamagedError(f"it has shape {array.shape}")
        return array

    def _entry(self, position: int) -> Entry:
        row = self._rows[position]
        folder = f"{ENTRIES}/{row.key}"
        try:
            voxels = voxels_of(self._location.read(folder, ENTRY_FILE), row.key)
        except OSError as error:
            raise DamagedError(f"{ENTRY_FILE}: it is missing or cannot be read") from error
        if voxels is None:
            raise DamagedError(f"{ENTRY_FILE}: it is damaged")

        def whole(name: str) -> NDArray[Any]:
            try:
                return self._location.open(folder, name, voxels.files[name]).whole()
            except DamagedError as error:
                raise DamagedError(f"{name}: {error}") from error

        points = whole("points.npy").astype(np.int64) if voxels.labelled else np.empty((0, 4), np.int64)
        by_class = {int(value): points[points[:, 0] == value, 1:] for value in np.unique(points[:, 0])}
        _, i, j, k = voxels.shape
        return Entry(voxels, row, kept_in(voxels, row.slices), by_class, BodyMask(whole("body.npy"), (i, j, k)))

    def _sound(self, position: int, read: Callable[[], T], what: str = "") -> T:
        """What is read; an entry that is damaged is made anew once, if that can be done here."""
        try:
            return read()
        except DamagedError as error:
            if self._healer is None:
                raise self._damaged(position, f"{what}{error}") from error
        row = self._rows[position]
        self._healer.heal(row)
        self._entries.pop(position, None)
        self._location.forget(f"{ENTRIES}/{row.key}")
        try:
            return read()
        except DamagedError as error:
            raise self._damaged(position, f"{what}{error}, also after it was made anew") from error

    def _damaged(self, position: int, reason: str) -> InputError:
        return InputError(reason, path=self.name(position), code="store-corrupt", hint=_AGAIN)
