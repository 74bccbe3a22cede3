"""Pixels of image planes: read or decoded, unused bits cleared, real values put slice by slice into one array."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, from_os_error
from medssl.io.dicom.codecs import Children, parallel, shared_children
from medssl.io.dicom.files import parse, quiet, refuse_bomb
from medssl.io.dicom.frame import Frame
from medssl.io.dicom.headers import Place, Seal
from medssl.io.dicom.plain import Odd
from medssl.io.dicom.series import Stack
from medssl.io.dicom.stored import PIXEL_TAGS, Compressed, cleaned, compressed_plane, parsed_plane, plain_plane
from medssl.io.dicom.values import rescaled
from medssl.io.dicom.walk import UNDEFINED
from medssl.io.files import OPEN_FLAGS, check_size, open_regular

Plane = NDArray[Any]


def read_pixels(stack: Stack, path: Path, children: Children | None = None) -> NDArray[Any]:
    """Voxels ``(1, i, j, k)``: column, row, slice; every slice lies together in memory.

    Args:
        stack: the planes.
        path: what the user gave, for messages.
        children: decode compressed pixels, by default those of this process.

    Raises:
        InputError: naming the file whose pixels are missing, truncated or cannot be decoded.
    """
    rows, columns = stack.frames[0].shape
    check_size((rows, columns, len(stack.frames)), 4, path)
    source = _Source(stack.frames, children or shared_children())
    with quiet():
        planes = _together(stack.frames, source.plane)
    if "gaps_resampled" in stack.flags:
        planes = _resampled(planes, stack.at)
    return planes.transpose(2, 1, 0)[np.newaxis]


def _together(frames: Sequence[Frame], plane: Callable[[Frame, Plane | None], Plane]) -> Plane:
    """All planes ``(k, row, column)`` in the narrowest type that holds each of them."""
    first = plane(frames[0], None)
    out = np.empty((len(frames), *first.shape), dtype=_at_most_32(first.dtype))
    out[0] = first
    others: dict[int, Plane] = {}

    def fill(k: int) -> None:
        got = plane(frames[k], out[k])
        if got.dtype != out.dtype:
            others[k] = got
        elif not np.may_share_memory(got, out):
            out[k] = got

    _in_threads(fill, len(frames))
    if not others:
        return out
    kind = _at_most_32(np.result_type(out.dtype, *{one.dtype for one in others.values()}))
    wide = np.empty(out.shape, dtype=kind)
    for k in range(len(frames)):
        wide[k] = others.get(k, out[k])
    return wide


def _in_threads(fill: Callable[[int], None], count: int) -> None:
    """Call a function with 1, 2, … below ``count``; of several failures the first in this order is raised."""
    waiting, lock = iter(range(1, count)), threading.Lock()
    failures: dict[int, BaseException] = {}

    def work() -> None:
        while not failures:
            with lock:
                k = next(waiting, count)
            if k == count:
                return
            try:
                fill(k)
            except BaseException as error:
                failures[k] = error

    others = [threading.Thread(target=work, name="medssl-pixels") for _ in range(min(parallel(), count // 4) - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if failures:
        # numbers are given out in order, so every lower one has been tried
        raise failures[min(failures)]


def _at_most_32(kind: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32) if kind == np.float64 else kind


class _Source:
    """Planes by frame, each file parsed once where it must be parsed, and let go after its last frame.

    Args:
        frames: all that will be asked for.
        children: decode compressed pixels.
    """

    def __init__(self, frames: Sequence[Frame], children: Children) -> None:
        self._children = children
        self._left = Counter(frame.path for frame in frames)
        self._locks = {path: threading.Lock() for path in self._left}
        self._parsed: dict[Path, Any] = {}

    def plane(self, frame: Frame, into: Plane | None) -> Plane:
        """Real values of one frame; written into ``into`` where that is the shortest way, else an array of its own."""
        place = None if frame.source is None else frame.source.place
        if place is not None:
            try:
                if place.length != UNDEFINED:
                    with _unchanged(frame) as handle:
                        return plain_plane(handle, frame, place, into)
                return self._decoded(self._packed(frame, place), frame)
            except Odd:
                pass
        with self._dataset(frame) as dataset:
            found = parsed_plane(dataset, frame)
        return self._decoded(found, frame) if isinstance(found, Compressed) else rescaled(found, frame)

    def _packed(self, frame: Frame, place: Place) -> Compressed:
        with _unchanged(frame) as handle:
            size = os.fstat(handle).st_size - place.offset
            data = os.pread(handle, size, place.offset)
        return compressed_plane(data, frame, place)

    def _decoded(self, found: Compressed, frame: Frame) -> Plane:
        stored = self._children.decode(found.job, found.data, frame.path)
        return rescaled(cleaned(stored, found.job.used, found.high, bool(found.job.signed)), frame)

    @contextmanager
    def _dataset(self, frame: Frame) -> Iterator[Any]:
        with self._locks[frame.path]:
            if frame.path not in self._parsed:
                self._parsed[frame.path] = _parsed(frame)
            try:
                yield self._parsed[frame.path]
            finally:
                self._left[frame.path] -= 1
                if not self._left[frame.path]:
                    del self._parsed[frame.path]


def _parsed(frame: Frame) -> Any:
    with open_regular(frame.path) as file:
        _check_seal(file.fileno(), frame)
        refuse_bomb(file, frame.path)
        file.seek(0)
        return parse(file, frame.path, PIXEL_TAGS, stop_before_pixels=False)


@contextmanager
def _unchanged(frame: Frame) -> Iterator[int]:
    try:
        # the seal tells that this is the regular file whose header was read
        handle = os.open(frame.path, OPEN_FLAGS)
        try:
            _check_seal(handle, frame)
            yield handle
        finally:
            os.close(handle)
    except OSError as error:
        raise from_os_error(error, frame.path) from error


def _check_seal(handle: int, frame: Frame) -> None:
    if frame.source is not None and Seal.of(handle) != frame.source.seal:
        raise InputError("the file was changed while it was being read", path=frame.path, code="unreadable")


def _resampled(planes: Plane, at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Linear interpolation from uneven slice places to whole ones."""
    # beyond the last slice nothing is known
    wanted = np.arange(int(at[-1] + 1e-3) + 1, dtype=np.float64)
    low = np.clip(np.searchsorted(at, wanted, side="right") - 1, 0, len(at) - 2)
    share = np.clip((wanted - at[low]) / (at[low + 1] - at[low]), 0, 1)
    out = np.empty((len(wanted), *planes.shape[1:]), dtype=np.float32)
    for k, (below, part) in enumerate(zip(low, share, strict=True)):
        out[k] = planes[below] * (1 - part) + planes[below + 1] * part
    return out
