"""Gzip and zlib streams unpacked a piece at a time, each member's checksum and length verified to the last byte.

ISA-L does it where the package ``isal`` is there, Python's own zlib where it is not; what they give and refuse is the
same. Nothing here reads further than it is asked to, so that a bomb is never unpacked beyond what a header declares.
"""

from __future__ import annotations

import gzip
import zlib
from functools import cache
from typing import Any, BinaryIO, cast

_RESERVED, _NAME, _COMMENT, _EXTRA, _HEADER_CHECK = 0xE0, 8, 16, 4, 2
_HEADER_LIMIT = 1 << 18
"""Longest gzip header that is looked through: the extra field alone can have 65535 bytes."""

_PIECE = 1 << 18


class BrokenStreamError(Exception):
    """A compressed stream whose content, checksum or length is wrong."""


class GzipStream:
    """What a gzip file holds: all its members, one after the other; zeros may follow the last one, nothing else.

    Args:
        file: open where the first member begins.

    Example:
        >>> import io
        >>> stream = GzipStream(io.BytesIO(gzip.compress(b"some ") + gzip.compress(b"bytes") + bytes(512)))
        >>> stream.read(7), stream.read(7), stream.read(7)
        (b'some by', b'tes', b'')
    """

    def __init__(self, file: BinaryIO) -> None:
        check_gzip_header(file)
        self._file = cast(BinaryIO, _engine()[0](fileobj=file, mode="rb"))

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none when the last member's checksum and length have been verified.

        Raises:
            BrokenStreamError: the stream is damaged, ends early or is followed by other bytes.
        """
        try:
            return self._file.read(size)
        except EOFError as error:
            raise BrokenStreamError("truncated: the gzip stream ends early, or other bytes follow it") from error
        except _engine()[2] as error:
            raise BrokenStreamError(_reason("gzip", error)) from error


class ZlibStream:
    """What a zlib stream holds; zeros may follow it, nothing else.

    Args:
        file: open where the stream begins.

    Example:
        >>> import io
        >>> stream = ZlibStream(io.BytesIO(zlib.compress(b"some bytes")))
        >>> stream.read(7), stream.read(7), stream.read(7)
        (b'some by', b'tes', b'')
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._unpacker = _engine()[1]()
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none when the checksum has been verified.

        Raises:
            BrokenStreamError: the stream is damaged, ends early or is followed by other bytes.
        """
        unpacker = self._unpacker
        # ISA-L may hold unpacked bytes back when all packed ones are consumed: ask before feeding more
        packed = unpacker.unconsumed_tail
        while not unpacker.eof:
            try:
                out: bytes = unpacker.decompress(packed, size)
            except _engine()[2] as error:
                raise BrokenStreamError(_reason("zlib", error)) from error
            if out:
                return out
            packed = unpacker.unconsumed_tail or (b"" if unpacker.eof else self._file.read(_PIECE))
            if not packed and not unpacker.eof:
                raise BrokenStreamError("truncated: the zlib stream ends early")
        self._end()
        return b""

    def _end(self) -> None:
        rest = b"" if self._ended else self._unpacker.unused_data
        while rest or not self._ended:
            if rest.strip(b"\0"):
                raise BrokenStreamError("other bytes follow the zlib stream")
            rest = self._file.read(_PIECE)
            self._ended = not rest


def check_gzip_header(file: BinaryIO) -> None:
    """Look at the first member's header and leave the file where it stood.

    RFC 1952 wants reserved flags refused; Python's own reader lets them and a wrong header checksum pass.

    Raises:
        BrokenStreamError: a reserved flag is set, or the header's own checksum is wrong.
    """
    start = file.tell()
    head = file.read(_HEADER_LIMIT)
    file.seek(start)
    if len(head) < 10:
        return
    flags, end = head[3], 10
    if flags & _RESERVED:
        raise BrokenStreamError("the gzip stream's header has reserved flags")
    if flags & _EXTRA:
        end += 2 + int.from_bytes(head[10:12], "little")
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            # without an end it goes past the limit, and the reader finds what is wrong
            end = head.find(b"\0", end) + 1 or len(head)
    if flags & _HEADER_CHECK and int.from_bytes(head[end : end + 2], "little") != zlib.crc32(head[:end]) & 0xFFFF:
        raise BrokenStreamError("the gzip stream's header has a wrong checksum")


@cache
def _engine() -> tuple[Any, Any, tuple[type[Exception], ...]]:
    """The reader of gzip files, the zlib unpacker, and what they raise."""
    try:
        from isal import igzip, isal_zlib
    except ImportError:
        return gzip.GzipFile, zlib.decompressobj, (gzip.BadGzipFile, zlib.error)
    broken = cast(type[Exception], isal_zlib.error)
    return igzip.IGzipFile, isal_zlib.decompressobj, (gzip.BadGzipFile, zlib.error, broken)


def _reason(kind: str, error: Exception) -> str:
    text = str(error).lower()
    what = "checksum or length is wrong" if "check" in text or "length" in text else "content is corrupt"
    return f"the {kind} stream's {what}"
