"""Gzip files written at speed: the same bytes every time, without the file's name or the hour."""

from __future__ import annotations

import gzip
from typing import Any, BinaryIO, cast


def packing(file: BinaryIO) -> BinaryIO:
    r"""A stream into which bytes are written that arrive in ``file`` as one gzip member.

    ISA-L at its best level makes files as small as zlib's default in an eighth of the time; without the package
    ``isal`` zlib packs at its fastest level.

    Args:
        file: open for writing; it stays open when the stream is closed.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> with packing(file) as stream:
        ...     _ = stream.write(b"voxels")
        >>> gzip.decompress(file.getvalue()), file.getvalue()[4:8]
        (b'voxels', b'\x00\x00\x00\x00')
    """
    try:
        from isal import igzip
    except ImportError:
        return cast(BinaryIO, gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0))
    writer: Any = igzip.IGzipFile
    return cast(BinaryIO, writer(filename="", mode="wb", compresslevel=3, fileobj=file, mtime=0))
