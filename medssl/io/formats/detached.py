"""The voxels of NRRD and MetaImage files, attached to their header or beside it, plain or packed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.files import (
    Readable,
    as_stored,
    beside,
    check_growth,
    check_size,
    on_disk,
    open_regular,
    read_exactly,
    read_some,
    unpacked,
)
from medssl.io.formats.text_voxels import LONGEST_NUMBER, from_decimal, from_hexadecimal

_MOST_TEXT = 1 << 28


@dataclass(frozen=True)
class Payload:
    """Where the voxels lie and how they are written.

    Args:
        header: the header's path.
        offset: where attached voxels begin in the header's file.
        detached: the data files' names, if they are apart; several hold equal shares of the slowest axis.
        encoding: ``raw``, ``gzip``, ``zlib``, ``bzip2``, ``text`` or ``hex``.
        kind: the dtype in the file, with its byte order.
        shape: axes in the file's order, the fastest first.
        skip: bytes before the voxels; -1 counts from the end of the file.
        lines: lines before the voxels.
    """

    header: Path
    offset: int
    detached: tuple[str, ...]
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
        if len(self.detached) > 1:
            return self._shares()
        path = beside(self.header, self.detached[0]) if self.detached else self.header
        with open_regular(path) as file:
            total = os.fstat(file.fileno()).st_size
            file.seek(0 if self.detached else self.offset)
            for _ in range(self.lines):
                if not file.readline(1 << 20):
                    raise InputError("truncated: the lines to skip are not all there", path=path, code="truncated")
            packed = total - file.tell() if self.encoding in ("gzip", "zlib") else None
            size = check_size(self.shape, self.kind.itemsize, path, packed)
            check_growth(size, on_disk(path), path)
            if self.encoding in ("text", "hex"):
                return self._written_out(file, size, path)
            flat = self._raw(file, total, size, path) if self.encoding == "raw" else self._packed(file, size, path)
        return as_stored(flat, self.kind).reshape(self.shape, order="F")

    def _shares(self) -> NDArray[Any]:
        """The voxels of several data files, one after the other."""
        check_size(self.shape, self.kind.itemsize, self.header)
        share, rest = divmod(math.prod(self.shape), len(self.detached))
        if rest:
            raise InputError(
                f"corrupt: {math.prod(self.shape)} voxels cannot lie in {len(self.detached)} data files of equal size",
                path=self.header,
                code="corrupt",
            )
        parts = [replace(self, detached=(name,), shape=(share,)).voxels() for name in self.detached]
        return np.concatenate(parts).reshape(self.shape, order="F")

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
        stream = unpacked(file, self.encoding, path)
        if self.skip == -1:
            return self._last(stream, size, path)
        left = max(self.skip, 0)
        if left > _MOST_TEXT:
            raise InputError(f"byte skip {left} is over the limit of {_MOST_TEXT}", path=path, code="too-large")
        while left:
            passed = len(read_some(stream, min(left, 1 << 18), path))
            if not passed:
                raise InputError("truncated: the data end before the voxels begin", path=path, code="truncated")
            left -= passed
        return read_exactly(stream, size, path)

    def _last(self, stream: Readable, size: int, path: Path) -> NDArray[np.uint8]:
        """The last bytes of a stream, whatever header of another format lies before them."""
        whole = bytearray()
        while chunk := read_some(stream, 1 << 18, path):
            whole += chunk
            if len(whole) > size + _MOST_TEXT:
                raise InputError(f"over {_MOST_TEXT} bytes lie before the voxels", path=path, code="too-large")
        if len(whole) < size:
            raise InputError(f"truncated: {len(whole)} data bytes of {size}", path=path, code="truncated")
        return np.frombuffer(whole, dtype=np.uint8, offset=len(whole) - size)

    def _written_out(self, file: BinaryIO, size: int, path: Path) -> NDArray[Any]:
        count = math.prod(self.shape)
        longest = LONGEST_NUMBER * count if self.encoding == "text" else 4 * size
        text = file.read(min(longest, _MOST_TEXT) + 1)
        if len(text) > longest or len(text) > _MOST_TEXT:
            raise InputError(
                f"the text data are too large for the {count} numbers that the header declares",
                path=path,
                code="too-large",
            )
        if self.encoding == "text":
            return from_decimal(text, count, self.kind, path).reshape(self.shape, order="F")
        return as_stored(from_hexadecimal(text, size, path).copy(), self.kind).reshape(self.shape, order="F")


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
    if volume is not None and len(rest) == 1:
        raise InputError(f"volume {volume} was asked for, the file holds {extra[0]}", path=path, code="usage")
    raise InputError(
        f"{values.ndim}D image, {extra} volumes where one was expected",
        path=path,
        code="several-volumes",
        hint="choose one with --volume N" if len(rest) == 1 else None,
    )
