"""The voxels of NRRD and MetaImage files, attached to their header or beside it, plain or packed."""

from __future__ import annotations

import bz2
import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.files import Readable, beside, check_size, open_regular, read_exactly, read_some


@dataclass(frozen=True)
class Payload:
    """Where the voxels lie and how they are written.

    Args:
        header: the header's path.
        offset: where attached voxels begin in the header's file.
        detached: the data file's name, if there is one.
        encoding: ``raw``, ``gzip``, ``zlib``, ``bzip2`` or ``text``.
        kind: the dtype in the file, with its byte order.
        shape: axes in the file's order, the fastest first.
        skip: bytes before the voxels; -1 counts from the end of the file.
        lines: lines before the voxels.
    """

    header: Path
    offset: int
    detached: str | None
    encoding: str
    kind: np.dtype[Any]
    shape: tuple[int, ...]
    skip: int = 0
    lines: int = 0

    def voxels(self) -> NDArray[Any]:
        """All voxels, fastest axis first, in this machine's byte order.

        Raises:
            InputError: the bytes there are not those that the header declares.
            IntegrityError: the data file lies outside the header's folder.
        """
        path = self.header if self.detached is None else beside(self.header, self.detached)
        with open_regular(path) as file:
            total = os.fstat(file.fileno()).st_size
            file.seek(self.offset if self.detached is None else 0)
            for _ in range(self.lines):
                file.readline(1 << 20)
            packed = total - file.tell()
            size = check_size(
                self.shape, self.kind.itemsize, path, None if self.encoding in ("raw", "text") else packed
            )
            if self.encoding == "text":
                return self._text(file, path)
            flat = self._raw(file, total, size, path) if self.encoding == "raw" else self._packed(file, size, path)
        values = flat.view(self.kind).astype(self.kind.newbyteorder("="), copy=False)
        return values.reshape(self.shape, order="F")

    def _raw(self, file: BinaryIO, total: int, size: int, path: Path) -> NDArray[np.uint8]:
        start = total - size if self.skip == -1 else file.tell() + self.skip
        if start < file.tell() or total - start != size:
            what = "truncated" if total - max(start, 0) < size else "corrupt"
            raise InputError(
                f"{what}: {max(total - max(start, 0), 0)} data bytes, the header declares a size of {size}",
                path=path,
                code=what,
            )
        file.seek(start)
        return read_exactly(file, size, path)

    def _packed(self, file: BinaryIO, size: int, path: Path) -> NDArray[np.uint8]:
        stream: Readable
        if self.encoding == "gzip":
            stream = gzip.GzipFile(fileobj=file)
        elif self.encoding == "bzip2":
            stream = bz2.BZ2File(file)
        else:
            stream = _Zlib(file)
        if self.skip > 0:
            read_some(stream, self.skip, path)
        return read_exactly(stream, size, path)

    def _text(self, file: BinaryIO, path: Path) -> NDArray[Any]:
        check_size(self.shape, 1, path)
        text = file.read(1 << 28)
        count = int(np.prod(self.shape))
        try:
            numbers = np.array(text.split(), dtype=np.float64)
        except ValueError as error:
            raise InputError("the text data are not numbers", path=path, code="corrupt") from error
        if numbers.size != count:
            raise InputError(f"{numbers.size} numbers, the header declares {count}", path=path, code="truncated")
        return numbers.astype(self.kind.newbyteorder("=")).reshape(self.shape, order="F")


class _Zlib:
    """A zlib stream whose checksum and end are verified."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._unpacker = zlib.decompressobj()

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes; the stream's end is an error when data are missing."""
        while not self._unpacker.eof:
            chunk = self._unpacker.unconsumed_tail or self._file.read(1 << 20)
            if not chunk:
                raise EOFError("the zlib stream ends early")
            out = self._unpacker.decompress(chunk, size)
            if out:
                return out
        return b""


def spatial_channels(
    values: NDArray[Any], space: tuple[int, ...], vector: bool, volume: int | None, path: Path
) -> NDArray[Any]:
    """Voxels as ``(C, i, j, k)``: the axes in ``space`` are i, j, k; another one is channels or is chosen from."""
    rest = [axis for axis in range(values.ndim) if axis not in space]
    values = values.transpose(*rest, *space)
    extra = values.shape[: len(rest)]
    if int(np.prod(extra)) == 1:
        return values.reshape(1, *values.shape[len(rest) :])
    if len(rest) == 1 and vector and volume is None:
        if values.dtype == np.uint8 and extra[0] in (3, 4):
            raise InputError("colour (RGB) voxels are not read", path=path, code="not-a-volume")
        return values
    if len(rest) == 1 and volume is not None and 0 <= volume < extra[0]:
        return values[volume : volume + 1]
    raise InputError(
        f"{values.ndim}D image, {extra} volumes where one was expected",
        path=path,
        code="several-volumes",
        hint="choose one with volume=N" if len(rest) == 1 else None,
    )
