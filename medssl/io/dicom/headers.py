"""Headers of many DICOM files, each opened once: walked where they are plain, parsed where they are not."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from medssl.errors import InputError, MedsslError, from_os_error
from medssl.io.dicom.files import parse, refuse_bomb
from medssl.io.dicom.needed import HEADER_TAGS, PRIVATE_TAGS
from medssl.io.dicom.plain import Odd, Short
from medssl.io.dicom.walk import UNDEFINED, Walked, walk
from medssl.io.files import open_regular
from medssl.io.parallel import in_order

FIRST_READ = 1 << 14
MAX_WALK = 1 << 22
"""A plain header beyond this many bytes is left to the full parser."""

_CHUNK = 32
_THREADS = 8
_SLOW_S = 2e-4
"""Waiting this long for each file is worth threads."""

_PADDING = 0xFFFCFFFC
_DOING = "reading DICOM headers"


class Seal(NamedTuple):
    """What tells that a file is still the one whose header was read."""

    size: int
    changed_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, handle: int) -> Seal:
        """The seal of an open file."""
        state = os.fstat(handle)
        return cls(state.st_size, state.st_mtime_ns, state.st_ino, state.st_dev)


class Place(NamedTuple):
    """Where the pixels of a plainly written single frame lie in their file.

    Args:
        syntax: the transfer syntax's UID.
        offset: of the first byte of PixelData's value.
        length: bytes, or ``UNDEFINED`` for encapsulated pixels.
        bits: BitsAllocated.
        used: BitsStored.
        high: HighBit.
        signed: PixelRepresentation.
    """

    syntax: str
    offset: int
    length: int
    bits: int
    used: int
    high: int
    signed: bool


@dataclass(frozen=True)
class Source:
    """What is kept of a file between its header and its pixels.

    Args:
        seal: the file as it was.
        place: where plain pixels lie; None where the full parser must find them.
    """

    seal: Seal
    place: Place | None = None


@dataclass(frozen=True, eq=False)
class Header:
    """One file's header.

    Args:
        path: the file.
        dataset: values by keyword (``get``, ``in``): walked ``Tags`` or a parsed data set.
        source: the file as it was, and where its pixels lie.
    """

    path: Path
    dataset: Any
    source: Source


def read_header(path: Path, walked: bool = True) -> Header:
    """The tags that order and place a file's image planes.

    Args:
        path: the file.
        walked: take the fast way where the file is plain; both ways give the same values and refusals.

    Raises:
        InputError: ``truncated``, ``corrupt``, ``format`` or ``too-large``.
    """
    try:
        with open_regular(path) as file:
            handle = file.fileno()
            seal = Seal.of(handle)
            if walked:
                try:
                    found = _walked(handle, seal.size)
                    if not found.tags.get("SOPClassUID"):
                        raise Odd
                    return Header(path, found.tags, Source(seal, _place(found, handle, seal.size)))
                except Odd:
                    file.seek(0)
            refuse_bomb(file, path)
            file.seek(0)
            dataset = parse(file, path, [*HEADER_TAGS, *PRIVATE_TAGS], stop_before_pixels=True)
            return Header(path, dataset, Source(seal))
    except OSError as error:
        raise from_os_error(error, path) from error


def read_headers(
    paths: Sequence[Path],
    progress: Callable[[int, int, str], None] | None = None,
    workers: int | None = None,
) -> Iterator[Header | MedsslError]:
    """The headers of many files in the order given; a file that is refused gives its error in its place.

    Args:
        paths: the files.
        progress: called with files done, files in all, and what is being done.
        workers: threads; by default one, and more from where files are waited for, as on a network disk.
    """
    for done, answer in enumerate(_answers(paths, workers), 1):
        if progress is not None:
            progress(done, len(paths), _DOING)
        yield answer


def _answers(paths: Sequence[Path], workers: int | None) -> Iterator[Header | MedsslError]:
    """In one thread while files answer at once: more would only wait for the interpreter's lock."""
    at = 0
    while at < len(paths) and workers in (None, 1):
        began, worked = time.perf_counter(), time.thread_time()
        found = _headers_of(paths[at : at + _CHUNK])
        waited = (time.perf_counter() - began) - (time.thread_time() - worked)
        yield from found
        at += len(found)
        if workers is None and waited > _SLOW_S * len(found):
            break
    chunks = [paths[start : start + _CHUNK] for start in range(at, len(paths), _CHUNK)]
    for found in in_order(_headers_of, chunks, _DOING, workers=workers or _THREADS):
        yield from found


def _headers_of(paths: Sequence[Path]) -> list[Header | MedsslError]:
    return [_header_or_error(path) for path in paths]


def _header_or_error(path: Path) -> Header | MedsslError:
    try:
        return read_header(path)
    except MedsslError as error:
        return error
    except MemoryError:
        return InputError("the header takes more memory than there is", path=path, code="too-large")


def _walked(handle: int, size: int) -> Walked:
    wanted = FIRST_READ
    while True:
        head = os.pread(handle, min(wanted, size), 0)
        try:
            return walk(head)
        except Short:
            if len(head) >= size or wanted >= MAX_WALK:
                raise Odd from None
            wanted *= 4


def _place(found: Walked, handle: int, size: int) -> Place | None:
    """Where the pixels lie, if the header and the file's size agree to the byte."""
    tags, extra = found.tags, found.extra
    rows, columns = tags.get("Rows"), tags.get("Columns")
    bits, signed = tags.get("BitsAllocated"), tags.get("PixelRepresentation")
    used, high = extra.get("BitsStored"), extra.get("HighBit")
    frames = extra.get("NumberOfFrames", 1)
    if not rows or not columns or not used or not high or bits not in (8, 16, 32) or signed not in (0, 1):
        return None
    if frames != 1 or tags.get("SamplesPerPixel") != 1 or high != used - 1 or used > bits:
        return None
    if found.length != UNDEFINED:
        wanted = rows * columns * bits // 8
        end = found.pixels + found.length
        if found.length != wanted + wanted % 2 or end > size or not _ends(handle, end, size):
            return None
    return Place(found.syntax, found.pixels, found.length, bits, used, high, bool(signed))


def _ends(handle: int, end: int, size: int) -> bool:
    """Whether a file ends behind its pixels, or has nothing more than padding there."""
    if end == size:
        return True
    group, element, vr, _, length = struct.unpack("<HH2sHI", os.pread(handle, 12, end).ljust(12, b"\0"))
    return bool(group << 16 | element == _PADDING and vr == b"OB" and end + 12 + length == size)
