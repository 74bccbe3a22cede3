"""Opening files: regular files only, sizes checked before anything is allocated, every byte accounted for."""

from __future__ import annotations

import bz2
import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, IntegrityError, from_os_error
from medssl.io.inflate import BrokenStreamError, GzipStream, ZlibStream

MAX_VOXELS = 2**31
MAX_BYTES = 8 * 2**30
MAX_RATIO = 200
RATIO_FLOOR = 512 * 2**20
"""Below this many bytes a high compression ratio is harmless: an almost empty label map reaches 1000."""

DEFLATE_LIMIT = 1040
"""Deflate cannot compress further than this, so a header that declares more is lying."""


_PIECE = 1 << 18
"""Unpacked bytes that are copied at a time, few enough to be still in the processor's cache."""

OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


_LARGE = 1 << 20


class BoundedReader(io.BufferedReader):
    """A file of which no more is asked for than there is: a broken length must not make room for what never comes."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes."""
        if size is not None and size > _LARGE:
            size = max(0, min(size, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


class Readable(Protocol):
    """What is needed of a stream: plain, gzip or an archive's member."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes."""
        ...


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe, device or socket is refused without waiting for it.

    Raises:
        InputError: ``missing``, ``unreadable`` or ``not-regular``.
    """
    if "\0" in str(path):
        raise InputError("a path cannot hold a null character", path=path, code="missing")
    try:
        # the kind is looked at before opening (a device may act on open) and again on what was opened
        refuse_irregular(path, os.stat(path).st_mode)
        handle = os.open(path, OPEN_FLAGS)
    except OSError as error:
        raise from_os_error(error, path) from error
    try:
        refuse_irregular(path, os.fstat(handle).st_mode)
        return BoundedReader(io.FileIO(handle, "rb"))
    except BaseException:
        os.close(handle)
        raise


def refuse_irregular(path: Path, mode: int) -> None:
    """Refuse what is not a regular file, by the name of its kind."""
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe (FIFO)", stat.S_IFSOCK: "a socket"}
    kind = kinds.get(stat.S_IFMT(mode), "a device")
    raise InputError(f"expected a regular file, got {kind}", path=path, code="not-regular")


def check_size(shape: Sequence[int], itemsize: int, path: Path, packed: int | None = None) -> int:
    """The bytes that a header declares, refused when they are over a limit.

    Args:
        shape: every axis, channels and time too.
        itemsize: bytes of one voxel.
        path: the file, for messages.
        packed: bytes of the compressed stream, where there is one.

    Returns:
        The declared number of bytes.
    """
    if any(n < 1 for n in shape):
        raise InputError(
            f"the header declares an empty size {tuple(shape)}: zero or negative dimensions", path=path, code="corrupt"
        )
    voxels = 1
    for n in shape:
        # far over the limit is enough to know: a hostile product has more digits than can be shown
        voxels = min(voxels * int(n), 1 << 100)
    size = voxels * itemsize
    if voxels > MAX_VOXELS or size > MAX_BYTES:
        raise InputError(
            f"the header declares {voxels} voxels ({size} bytes), over the size limit of {MAX_VOXELS} voxels "
            f"and {MAX_BYTES} bytes",
            path=path,
            code="too-large",
        )
    if packed is not None:
        if size > packed * DEFLATE_LIMIT:
            raise InputError(f"{packed} packed bytes cannot hold the {size} declared", path=path, code="truncated")
        check_growth(size, packed, path)
    return size


def check_growth(size: int, packed: int, path: Path) -> None:
    """Refuse what needs a lot of memory and comes from next to nothing: the mark of a bomb."""
    if size > RATIO_FLOOR and size > packed * MAX_RATIO:
        raise InputError(
            f"{packed} packed bytes would grow to {size}, over the limit ratio of {MAX_RATIO}",
            path=path,
            code="too-large",
        )


def on_disk(path: Path) -> int:
    """Bytes that a file takes on its disk: few for a sparse one, which claims zeros that nobody wrote."""
    status = os.stat(path)
    # some file systems do not say
    return getattr(status, "st_blocks", 0) * 512 or status.st_size


def unpacked(file: BinaryIO, encoding: str, path: Path) -> Readable:
    """What a file holds from where it stands.

    Args:
        file: open where the stream begins.
        encoding: ``raw``, ``gzip``, ``zlib`` or ``bzip2``.
        path: the file, for messages.

    Raises:
        InputError: the gzip header is damaged.
    """
    try:
        if encoding == "gzip":
            return GzipStream(file)
    except BrokenStreamError as error:
        raise _broken(error, path) from error
    if encoding == "zlib":
        return ZlibStream(file)
    return bz2.BZ2File(file) if encoding == "bzip2" else file


def read_exactly(stream: Readable, size: int, path: Path) -> NDArray[np.uint8]:
    """Read ``size`` bytes and then the stream's end, which also verifies a gzip stream's checksum and length.

    The bytes go into one array of that size and nowhere else; no more than it are ever unpacked.

    Raises:
        InputError: ``truncated`` when bytes are missing or the checksum is wrong, ``corrupt`` when there are more.
    """
    out = np.empty(size, dtype=np.uint8)
    view, done = out.data, 0
    while done < size:
        if isinstance(stream, io.BufferedReader):
            count = _read_into(stream, view[done:], path)
        else:
            piece = read_some(stream, min(size - done, _PIECE), path)
            count = len(piece)
            view[done : done + count] = piece
        if not count:
            raise InputError(f"truncated: {done} of {size} declared data bytes are there", path=path, code="truncated")
        done += count
    if read_some(stream, 1, path):
        raise InputError(
            f"more data bytes follow than the {size} that the header declares: extra bytes at the end (wrong size)",
            path=path,
            code="corrupt",
        )
    return out


def _read_into(stream: io.BufferedReader, view: memoryview, path: Path) -> int:
    try:
        return stream.readinto(view)
    except OSError as error:
        raise from_os_error(error, path) from error


def as_stored(flat: NDArray[np.uint8], kind: np.dtype[Any]) -> NDArray[Any]:
    """Bytes of a file as numbers in this machine's byte order, without a copy.

    Example:
        >>> as_stored(np.array([1, 0, 0, 2], dtype=np.uint8), np.dtype(">i2"))
        array([256,   2], dtype=int16)
    """
    values = flat.view(kind)
    return values if kind.isnative else values.byteswap(inplace=True).view(kind.newbyteorder("="))


def read_some(stream: Readable, size: int, path: Path) -> bytes:
    """``stream.read`` with every way in which a compressed stream breaks turned into a refusal."""
    try:
        return stream.read(size) if size else b""
    except BrokenStreamError as error:
        raise _broken(error, path) from error
    except EOFError as error:
        raise InputError("truncated: the compressed stream ends early", path=path, code="truncated") from error
    except OSError as error:
        if error.errno is None:
            raise _broken(BrokenStreamError("the bzip2 stream's checksum (CRC) or content is corrupt"), path) from error
        raise from_os_error(error, path) from error


def _broken(error: BrokenStreamError, path: Path) -> InputError:
    return InputError(str(error), path=path, code="truncated")


def beside(header: Path, name: str) -> Path:
    """The data file that a detached header names; it must lie in the header's folder or below it.

    Raises:
        IntegrityError: the name is absolute, has ``..``, or leaves the folder by a link.
        InputError: there is no such file, or it is not a regular file.
    """
    parts = name.replace("\\", "/").split("/")
    drive = len(parts[0]) >= 2 and parts[0][1] == ":" and parts[0][0].isalpha()
    if not name or not parts[0] or "\x00" in name or ".." in parts or drive:
        raise IntegrityError(
            "the header names a data file outside its own folder: an absolute path or one with .. (path traversal) "
            "is not allowed",
            path=header,
            code="outside",
        )
    target = header.parent / name
    if not os.path.lexists(target):
        raise InputError(
            f"the data file {name} is missing beside the header (no such file, not found)", path=header, code="missing"
        )
    stays_inside(target, header)
    return target


def stays_inside(target: Path, header: Path) -> None:
    """Refuse a data file that is a link to a place outside the folder of its header."""
    home = os.path.realpath(header.parent)
    if os.path.commonpath([home, os.path.realpath(target)]) != home:
        raise IntegrityError(
            "the header's data file is a symbolic link to a path outside its folder, which is not followed",
            path=header,
            code="outside",
        )
