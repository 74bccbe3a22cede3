"""What a row's source files are: their bytes for the entry's key, their sizes and times for a quick look."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medssl.errors import IntegrityError, from_os_error
from medssl.io.files import open_regular
from medssl.io.read import holds_label
from medssl.io.sniff import suffix_of
from medssl.manifest import Manifest, Record

_HEADERS = (".mhd", ".nhdr", ".hdr", ".img", ".hdr.gz", ".img.gz")
_HEADER_BYTES = 1 << 16
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """The files of one row.

    Args:
        image: files of the image: one, a header and its data, or a DICOM folder's.
        label: files of the label map; none where there is none.
        classes: the manifest's, where they decide what the label's segments become; else empty.
    """

    image: tuple[Path, ...]
    label: tuple[Path, ...]
    classes: str = ""

    def stamp(self) -> str:
        """Digest of sizes, times and inodes: equal where nothing has been touched."""
        facts = []
        for path in (*self.image, *self.label):
            try:
                stat = path.stat()
            except OSError as error:
                raise from_os_error(error, path) from error
            facts.append((stat.st_size, stat.st_mtime_ns, stat.st_ino))
        return hashlib.sha256((repr((len(self.image), facts)) + self.classes).encode()).hexdigest()

    def size(self) -> int:
        """Bytes of all files."""
        try:
            return sum(path.stat().st_size for path in (*self.image, *self.label))
        except OSError as error:
            raise from_os_error(error, self.image[0]) from error

    def content(self, expected: str = "") -> str:
        """Digest of all bytes.

        Args:
            expected: sha256 that the manifest records for a single image file, or empty.

        Raises:
            IntegrityError: the image's bytes are not the recorded ones (``hash``).
        """
        image = [_sha256(path) for path in self.image]
        if expected and len(image) == 1 and image[0] != expected.strip().lower():
            raise IntegrityError(
                f"expected sha256 {expected.strip().lower()}, got {image[0]}", path=self.image[0], code="hash"
            )
        label = [_sha256(path) for path in self.label]
        return hashlib.sha256((repr((image, label)) + self.classes).encode()).hexdigest()


def source_of(manifest: Manifest, record: Record) -> Source:
    """The files of a row.

    Raises:
        InputError: a file is missing.
        IntegrityError: a path leaves the root.
    """
    label = manifest.resolve_label(record)
    image = _files(manifest.resolve(record))
    if label is None:
        return Source(image, ())
    # segments of DICOM labels become values by the names of the classes
    return Source(image, _files(label), repr(sorted(manifest.classes.items())) if holds_label(label) else "")


def _files(path: Path) -> tuple[Path, ...]:
    if path.is_dir():
        return tuple(sorted(found for found in path.rglob("*") if found.is_file()))
    if suffix_of(path) in _HEADERS:
        return _with_data(path)
    return (path,)


def _with_data(header: Path) -> tuple[Path, ...]:
    """A header with every file of its folder that it names or that shares its stem."""
    with open_regular(header) as file:
        text = file.read(_HEADER_BYTES).decode("latin-1")
    stem = header.name.split(".")[0]
    beside: Sequence[Path] = [path for path in header.parent.iterdir() if path.is_file()]
    named = [path for path in beside if path.name in text or path.name.split(".")[0] == stem]
    return (header, *sorted(path for path in named if path != header))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
