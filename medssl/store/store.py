"""The store on disk: scans ready for training, read box by box through memory maps."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, from_os_error
from medssl.store.entry import FORMAT, Entry, Row, Voxels, file_is_sound, kept_in, read_voxels
from medssl.store.files import unseal
from medssl.store.settings import StoreSettings
from medssl.store.studies import group_studies

STORE_FILE = "store.json"
ENTRIES = "entries"
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

    A file's checksum is verified when a process first reads it. Processes share nothing but the files: a store can
    be passed to workers.

    Args:
        path: the store's folder.
        settings: what was done to the scans.
        rows: one for each scan, in the manifest's order.
        facts: the rest of ``store.json``.
        grouped: where a place stands for a study with several sequences, see ``studies``.
    """

    def __init__(
        self,
        path: Path,
        settings: StoreSettings,
        rows: Sequence[Row],
        facts: Mapping[str, Any],
        grouped: Grouped | None = None,
    ) -> None:
        self.path = path
        self.settings = settings
        self._rows = list(rows)
        self._facts = dict(facts)
        self._grouped = grouped
        self._entries: dict[int, Entry] = {}
        self._maps: dict[tuple[str, str], NDArray[Any]] = {}

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store.

        Raises:
            InputError: ``missing``, ``store-version`` (made by another version) or ``store-corrupt``.
        """
        where = Path(path)
        try:
            content = (where / STORE_FILE).read_bytes()
        except FileNotFoundError as error:
            raise InputError(
                "holds no store (store.json is missing)", path=where, code="missing", hint="medssl prepare makes one"
            ) from error
        except OSError as error:
            raise from_os_error(error, where / STORE_FILE) from error
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
        return cls(where, StoreSettings.from_contract(data["settings"]), rows, facts)

    def __len__(self) -> int:
        return len(self._rows)

    def __getstate__(self) -> dict[str, Any]:
        # memory maps would be copied in full into a worker
        return {**self.__dict__, "_maps": {}}

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
        """``patient``, ``study``, ``series`` and ``record`` of a scan; -1 where unknown."""
        return dict(self._rows[position].ids)

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
        return str(self.path / ENTRIES / self._rows[position].key)

    def entry(self, position: int) -> Entry:
        """Geometry, intensity, label points and ids of a scan; no voxels.

        Raises:
            InputError: ``store-corrupt``, naming the entry.
        """
        if position not in self._entries:
            row = self._rows[position]
            voxels = read_voxels(self.path / ENTRIES / row.key)
            if voxels is None:
                raise self._damaged(position, "entry.json is missing or damaged")
            kept = kept_in(voxels, row.slices)
            self._entries[position] = Entry(voxels, row, kept, self._points(position, voxels))
        return self._entries[position]

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
            return Store(self.path, self.settings, rows, self._facts)
        members = tuple(self._grouped.members[position] for position in positions)
        grouped = Grouped(self._grouped.source, self._grouped.sequences, members)
        return Store(self.path, self.settings, rows, self._facts, grouped)

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
        return Store(self.path, self.settings, chosen, self._facts, grouped)

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

    def _box(self, position: int, name: str, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        array = self._map(position, name)
        if not all(0 <= a < b <= n for a, b, n in zip(low, high, array.shape[1:], strict=True)):
            raise ValueError(f"a box must lie inside the scan {array.shape[1:]}, got {tuple(low)} to {tuple(high)}")
        (i, j, k), (i_end, j_end, k_end) = low, high
        box: NDArray[Any] = array[:, i:i_end, j:j_end, k:k_end]
        return box

    def _map(self, position: int, name: str) -> NDArray[Any]:
        key = self._rows[position].key
        if (key, name) not in self._maps:
            self._maps[key, name] = self._open_array(position, name, self.entry(position).voxels)
        return self._maps[key, name]

    def _open_array(self, position: int, name: str, voxels: Voxels) -> NDArray[Any]:
        path = self.path / ENTRIES / voxels.key / name
        if not file_is_sound(path, voxels.files[name]):
            raise self._damaged(position, f"{name} is missing or its checksum differs")
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise self._damaged(position, f"{name} cannot be read") from error
        if name != "points.npy" and array.shape[1:] != voxels.shape[1:]:
            raise self._damaged(position, f"{name} must have shape {voxels.shape[1:]}, got {array.shape[1:]}")
        return array

    def _points(self, position: int, voxels: Voxels) -> dict[int, NDArray[np.int64]]:
        if not voxels.labelled:
            return {}
        rows = np.asarray(self._open_array(position, "points.npy", voxels)).astype(np.int64)
        return {int(value): rows[rows[:, 0] == value, 1:] for value in np.unique(rows[:, 0])}

    def _damaged(self, position: int, reason: str) -> InputError:
        return InputError(reason, path=self.name(position), code="store-corrupt", hint=_AGAIN)
