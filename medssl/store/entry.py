"""One stored scan: its voxels as checksummed files, and the manifest row that it stands for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.atomic import sync_folder
from medssl.store.blocks import block_sums
from medssl.store.body_mask import BodyMask
from medssl.store.files import npy_chunks, seal, unseal, write_new
from medssl.store.intensity import encode
from medssl.store.kept import Kept, kept_slices, parse_slices
from medssl.store.points import label_points
from medssl.store.process import Processed
from medssl.volume import Volume

FORMAT = 2
"""Number of the store's layout and of everything that decides its numbers; raise it with either."""

ENTRY_FILE = "entry.json"
FILES = ("image.npy", "label.npy", "points.npy", "body.npy")


@dataclass(frozen=True, eq=False)
class Voxels:
    """What a folder of the store holds; it depends on nothing but the source files and the settings.

    Args:
        key: the folder's name.
        shape: stored voxels ``(C, i, j, k)``.
        affine: stored voxel index to RAS millimetres.
        original_shape: voxels as they were read.
        original_affine: their affine.
        scale: ``stored · scale + offset`` is the value.
        offset: see ``scale``.
        low: the value that becomes 0 for the network.
        high: the value that becomes 1.
        body: ``(2, 3)`` box of the body.
        flags: what the reader said.
        files: name to sha256, size in ``bytes``, and ``crc`` of every block.
    """

    key: str
    shape: tuple[int, int, int, int]
    affine: NDArray[np.float64]
    original_shape: tuple[int, int, int]
    original_affine: NDArray[np.float64]
    scale: float
    offset: float
    low: float
    high: float
    body: NDArray[np.int64]
    flags: tuple[str, ...]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def labelled(self) -> bool:
        """Whether there is a label map."""
        return "label.npy" in self.files

    def to_plain(self) -> dict[str, Any]:
        """The content of ``entry.json``."""
        return {
            "format": FORMAT,
            "key": self.key,
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "original_shape": list(self.original_shape),
            "original_affine": self.original_affine.tolist(),
            "scale": self.scale,
            "offset": self.offset,
            "low": self.low,
            "high": self.high,
            "body": self.body.tolist(),
            "flags": list(self.flags),
            "files": {name: dict(facts) for name, facts in self.files.items()},
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Voxels:
        """The inverse of ``to_plain``."""
        c, i, j, k = data["shape"]
        oi, oj, ok = data["original_shape"]
        return cls(
            key=data["key"],
            shape=(c, i, j, k),
            affine=np.asarray(data["affine"], dtype=np.float64),
            original_shape=(oi, oj, ok),
            original_affine=np.asarray(data["original_affine"], dtype=np.float64),
            scale=data["scale"],
            offset=data["offset"],
            low=data["low"],
            high=data["high"],
            body=np.asarray(data["body"], dtype=np.int64),
            flags=tuple(data["flags"]),
            files=data["files"],
        )


@dataclass(frozen=True)
class Row:
    """A manifest's row as the store keeps it: integers and keyed hashes in the place of names.

    Args:
        key: folder of its voxels.
        ids: ``patient``, ``study``, ``series`` and ``record`` as integers, -1 where unknown.
        patient: keyed hash of the patient's id.
        record: keyed hash of the image's path, for messages and reports.
        modality: as in the manifest.
        split: as in the manifest, or empty.
        fold: as in the manifest, or empty.
        targets: numbers; a column of words counts them (``Store.target_names``).
        slices: kept axial slices of the scan as it was read, or empty for all.
        flags: of the manifest.
        content: digest of the source files' bytes.
        source: digest of the source files' sizes and times.
    """

    key: str
    ids: Mapping[str, int]
    patient: str
    record: str
    modality: str = ""
    split: str = ""
    fold: str = ""
    targets: Mapping[str, float] = field(default_factory=dict)
    slices: str = ""
    flags: tuple[str, ...] = ()
    content: str = ""
    source: str = ""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Row:
        """A row from ``dataclasses.asdict``'s plain data."""
        return cls(**{**data, "flags": tuple(data["flags"])})


@dataclass(frozen=True, eq=False)
class Entry:
    """A stored scan.

    Args:
        voxels: shape, geometry, intensity.
        row: ids, targets, split.
        kept: the slices that crops may be centred on, or None for all.
        points: class value to ``(n, 3)`` stored voxels of that class.
        mask: the body.
    """

    voxels: Voxels
    row: Row
    kept: Kept | None
    points: Mapping[int, NDArray[np.int64]]
    mask: BodyMask


def write_entry(folder: Path, key: str, source: Volume, done: Processed) -> Voxels:
    """Write a scan's files into a folder that is still under a temporary name.

    Args:
        folder: exists and is empty.
        key: the entry's key.
        source: the scan as it was read, for its original geometry and flags.
        done: the scan as it is stored.
    """
    stored, coding = encode(done.image.data, done.low, done.high)
    arrays: dict[str, NDArray[Any]] = {"image.npy": stored, "body.npy": done.cells}
    if done.label is not None:
        arrays["label.npy"] = done.label
        arrays["points.npy"] = label_points(done.label, int(key[:15], 16))
    files = {}
    for name, array in arrays.items():
        parts = npy_chunks(array)
        digest = write_new(folder / name, *parts)
        size = (folder / name).stat().st_size
        files[name] = {"sha256": digest, "bytes": size, "crc": block_sums(parts)}
    c, i, j, k = stored.shape
    voxels = Voxels(
        key,
        (c, i, j, k),
        done.image.affine,
        source.shape,
        source.affine,
        coding.scale,
        coding.offset,
        done.low,
        done.high,
        done.body,
        tuple(done.image.flags),
        files,
    )
    write_new(folder / ENTRY_FILE, seal(voxels.to_plain()))
    sync_folder(folder)
    return voxels


def read_voxels(folder: Path) -> Voxels | None:
    """The facts of an entry, or None where it is missing, damaged, of another format or under another's name."""
    try:
        return voxels_of((folder / ENTRY_FILE).read_bytes(), folder.name)
    except OSError:
        return None


def voxels_of(content: bytes, key: str) -> Voxels | None:
    """The facts in the bytes of ``entry.json``; see ``read_voxels``."""
    data = unseal(content)
    if data is None or data.get("format") != FORMAT or data.get("key") != key:
        return None
    voxels = Voxels.from_plain(data)
    return voxels if set(voxels.files) <= set(FILES) else None


def class_values(folder: Path) -> set[int]:
    """The label values but 0 of an entry; none where it has no label map."""
    path = folder / "points.npy"
    return {int(value) for value in np.unique(np.load(path)[:, 0])} if path.is_file() else set()


def kept_in(voxels: Voxels, slices: str) -> Kept | None:
    """A row's kept slices in stored voxels; None where the row names none.

    Raises:
        InputError: malformed, or slices that the scan does not have.
    """
    if not slices:
        return None
    stored = (voxels.shape[1], voxels.shape[2], voxels.shape[3])
    return kept_slices(parse_slices(slices), voxels.original_affine, voxels.original_shape, voxels.affine, stored)


def file_is_sound(path: Path, facts: Mapping[str, Any]) -> bool:
    """Whether a file's size and sha256 are those on record."""
    try:
        if path.is_symlink() or path.stat().st_size != facts["bytes"]:
            return False
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return bool(digest == facts["sha256"])
    except OSError:
        return False


def entry_is_sound(folder: Path) -> bool:
    """Whether every file of an entry is whole; reads all of them."""
    voxels = read_voxels(folder)
    return voxels is not None and all(file_is_sound(folder / name, facts) for name, facts in voxels.files.items())
