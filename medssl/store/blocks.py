"""An array file read box by box: every block of bytes is verified once, when it is first touched.

The file is a plain ``.npy``. Its checksums stand in the entry's facts, one CRC-32 for each mebibyte, so that a crop
reads and verifies little more than what it needs, and nothing twice.
"""

from __future__ import annotations

import io
import mmap
import zlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20
"""Bytes of a block."""


class DamagedError(Exception):
    """A file is missing, of another size, or a block's checksum differs."""


def block_sums(parts: Sequence[bytes | memoryview]) -> list[int]:
    """CRC-32 of every block of a file that consists of these parts.

    Example:
        >>> block_sums([b"ab", b"c"]) == [zlib.crc32(b"abc")]
        True
    """
    sums, running, filled = [], 0, 0
    for part in parts:
        view = memoryview(part).cast("B")
        while len(view):
            taken = min(BLOCK - filled, len(view))
            running, filled = crc32(view[:taken], running), filled + taken
            view = view[taken:]
            if filled == BLOCK:
                sums.append(running)
                running, filled = 0, 0
    return [*sums, running] if filled else sums


def crc32(data: bytes | memoryview | NDArray[np.uint8], start: int = 0) -> int:
    """CRC-32 as zlib counts it, by ISA-L where it is installed: some twenty times as fast."""
    return int(_CRC32(data, start))


def _fastest() -> Any:
    try:
        return import_module("isal.isal_zlib").crc32
    except ImportError:
        return zlib.crc32


_CRC32 = _fastest()


class Reading(ABC):
    """One array file of an entry.

    Args:
        facts: ``bytes`` and ``crc`` of ``Voxels.files``.
        seen: one byte for each block, 1 where it has been verified; shared by every opening of the file in this
            process.
    """

    def __init__(self, facts: Mapping[str, Any], seen: bytearray) -> None:
        self.size = int(facts["bytes"])
        self._sums = facts["crc"]
        self._seen = seen
        self.start = 0
        self.shape: tuple[int, ...] = (0,)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)

    def box(self, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        """``(C, i, j, k)`` of a box that lies inside.

        Raises:
            DamagedError: a block that it touches differs from what was written.
        """
        plane = int(np.prod(self.shape[2:])) * self.dtype.itemsize
        channel = self.shape[1] * plane
        for number in range(self.shape[0]):
            first = self.start + number * channel + low[0] * plane
            self._verify(first, first + (high[0] - low[0]) * plane)
        return self._take(low, high)

    def whole(self) -> NDArray[Any]:
        """All of a small array, in memory of its own."""
        self._verify(0, self.size)
        return self._all()

    def _read_header(self, head: bytes) -> None:
        try:
            stream = io.BytesIO(head)
            if np.lib.format.read_magic(stream) != (1, 0):
                raise DamagedError("not an array file of the store")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        except (ValueError, TypeError, EOFError) as error:
            raise DamagedError("not an array file") from error
        expected = stream.tell() + int(np.prod(shape)) * dtype.itemsize
        if fortran or dtype.hasobject or expected != self.size:
            raise DamagedError("its header does not fit its size")
        self.start, self.shape, self.dtype = stream.tell(), tuple(shape), dtype

    def _verify(self, begin: int, end: int) -> None:
        first, last = begin // BLOCK, -(-end // BLOCK)
        while (at := self._seen.find(0, first, last)) >= 0:
            if at >= len(self._sums) or crc32(self._block(at)) != self._sums[at]:
                raise DamagedError("its checksum differs")
            self._seen[at] = 1

    @abstractmethod
    def _block(self, number: int) -> Any:
        """The bytes of a block."""

    @abstractmethod
    def _take(self, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        """The box, whose bytes are verified."""

    @abstractmethod
    def _all(self) -> NDArray[Any]:
        """A copy of the array, whose bytes are verified."""


class Mapped(Reading):
    """A file of this machine, memory-mapped: a box is a view into the map.

    Args:
        path: the file.
        facts: as ``Reading``.
        seen: as ``Reading``.
        resident: bytes that may be touched before the pages are given back to the system (they stay in its cache).

    Raises:
        DamagedError: the file is missing, a link, or of another size.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], seen: bytearray, resident: int = 512 << 20) -> None:
        super().__init__(facts, seen)
        try:
            if path.is_symlink() or path.stat().st_size != self.size:
                raise DamagedError("it is missing or of another size")
            self._raw = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise DamagedError("it cannot be read") from error
        self._verify(0, min(self.size, BLOCK))
        self._read_header(bytes(self._raw[:1024]))
        self._array: NDArray[Any] = self._raw[self.start :].view(self.dtype).reshape(self.shape)
        self._resident, self._touched = resident, 0

    def _block(self, number: int) -> Any:
        return self._raw[number * BLOCK : (number + 1) * BLOCK]

    def _take(self, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        (i, j, k), (i_end, j_end, k_end) = low, high
        self._touched += (i_end - i) * (self._array.nbytes // max(1, self.shape[1]))
        if self._touched > self._resident:
            self._touched = 0
            if hasattr(mmap, "MADV_DONTNEED"):
                self._raw._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
        box: NDArray[Any] = self._array[:, i:i_end, j:j_end, k:k_end]
        return box

    def _all(self) -> NDArray[Any]:
        return np.array(self._array)


class Fetched(Reading):
    """A file of an object store: blocks are fetched when they are needed, many at once, and some are kept.

    Args:
        system: an fsspec file system.
        path: the file there.
        facts: as ``Reading``.
        seen: as ``Reading``.
        kept: blocks that stay in memory, shared by all files of a store.

    Raises:
        DamagedError: the file is missing, or its first block differs.
    """

    def __init__(
        self, system: Any, path: str, facts: Mapping[str, Any], seen: bytearray, kept: OrderedDict[Any, bytes]
    ) -> None:
        super().__init__(facts, seen)
        self._system, self._path, self._kept = system, path, kept
        # what is fetched again may have changed
        seen[:] = bytes(len(seen))
        self._fetch(0, 1)
        self._verify(0, min(self.size, BLOCK))
        self._read_header(bytes(self._block(0)[:1024]))

    def _block(self, number: int) -> Any:
        if (self._path, number) not in self._kept:
            self._fetch(number, number + 1)
        self._kept.move_to_end((self._path, number))
        return self._kept[self._path, number]

    def _fetch(self, first: int, last: int) -> None:
        wanted = [number for number in range(first, last) if (self._path, number) not in self._kept]
        if not wanted:
            return
        starts = [number * BLOCK for number in wanted]
        ends = [min(start + BLOCK, self.size) for start in starts]
        try:
            found = self._system.cat_ranges([self._path] * len(wanted), starts, ends, on_error="raise")
        except (OSError, ValueError) as error:
            raise DamagedError("it cannot be fetched") from error
        for number, data in zip(wanted, found, strict=True):
            self._kept[self._path, number] = data
            self._seen[number] = 0

    def _take(self, low: Sequence[int], high: Sequence[int]) -> NDArray[Any]:
        (i, j, k), (i_end, j_end, k_end) = low, high
        plane = int(np.prod(self.shape[2:]))
        out = np.empty((self.shape[0], i_end - i, *self.shape[2:]), self.dtype)
        for number in range(self.shape[0]):
            begin = self.start + (number * self.shape[1] + i) * plane * self.dtype.itemsize
            self._copy(begin, out[number])
        box: NDArray[Any] = out[:, :, j:j_end, k:k_end]
        return box

    def _all(self) -> NDArray[Any]:
        out = np.empty(self.shape, self.dtype)
        self._copy(self.start, out)
        return out

    def _verify(self, begin: int, end: int) -> None:
        self._fetch(begin // BLOCK, -(-end // BLOCK))
        super()._verify(begin, end)

    def _copy(self, begin: int, out: NDArray[Any]) -> None:
        line = out.reshape(-1).view(np.uint8)
        done = 0
        while done < line.size:
            number, within = divmod(begin + done, BLOCK)
            data = self._block(number)[within : within + line.size - done]
            line[done : done + len(data)] = np.frombuffer(data, np.uint8)
            done += len(data)
