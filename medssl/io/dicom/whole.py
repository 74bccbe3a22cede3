"""Whether a DICOM file without pixels is whole: the parser takes one that ends inside a sequence for a shorter one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from medssl.errors import InputError
from medssl.io.files import MAX_BYTES, open_regular

_UNDEFINED = 0xFFFFFFFF
_DEFLATED = "1.2.840.10008.1.2.1.99"
_ITEM, _ITEM_END, _SEQUENCE_END, _PIXELS = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010
_LONG = frozenset([b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"])
_MAX_DEPTH = 16
_TAG, _SHORT_LENGTH, _LONG_LENGTH = struct.Struct("<HH"), struct.Struct("<H"), struct.Struct("<I")


def check_whole(path: Path, dataset: Any) -> None:
    """Walk every element of a little endian file: each length must add up, to the file's last byte.

    Files of other encodings (big endian, deflated) are left to the parser.

    Args:
        path: the file.
        dataset: what the parser made of it.

    Raises:
        InputError: ``truncated``: the file ends inside an element or sequence; ``corrupt``: lengths contradict each
            other; ``too-large``.
    """
    implicit, little = dataset.original_encoding
    syntax = str(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", ""))
    if little is False or syntax == _DEFLATED:
        return
    with open_regular(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"over the size limit of {MAX_BYTES} bytes", path=path, code="too-large")
    start = 132 if data[128:132] == b"DICM" else 0
    walk = _Walk(data, path)
    while start and start < len(data) and data[start : start + 2] == b"\x02\0":
        start = walk.element(start, len(data), True, 0)
    walk.elements(start, len(data), not implicit, 0)


class _Walk:
    """A walk over a file's bytes."""

    def __init__(self, data: bytes, path: Path) -> None:
        self._data, self._path = data, path

    def elements(self, at: int, end: int, explicit: bool, depth: int) -> None:
        """Elements that fill a stretch of bytes exactly."""
        while at < end:
            at = self.element(at, end, explicit, depth)

    def element(self, at: int, end: int, explicit: bool, depth: int) -> int:
        """The place behind an element."""
        group, number = self._read(_TAG, at, end)
        vr = self._data[at + 4 : at + 6] if explicit else b""
        if explicit and vr not in _LONG:
            length, start = self._read(_SHORT_LENGTH, at + 6, end)[0], at + 8
        else:
            place = at + (8 if explicit else 4)
            length, start = self._read(_LONG_LENGTH, place, end)[0], place + 4
        tag = group << 16 | number
        if length == _UNDEFINED:
            # a sequence of unknown type is written without types (PS3.5 6.2.2)
            return self._items(start, end, explicit and vr != b"UN", depth, tag == _PIXELS)
        self._fits(start + length, end)
        if vr == b"SQ":
            self._items(start, start + length, explicit, depth, False, bounded=True)
        return start + length

    def _items(self, at: int, end: int, explicit: bool, depth: int, pixels: bool, bounded: bool = False) -> int:
        """The place behind a sequence's items; a bounded one fills its bytes, another ends with a mark."""
        if depth > _MAX_DEPTH:
            raise InputError("corrupt: sequences are nested too deep", path=self._path, code="corrupt")
        while not bounded or at < end:
            group, number = self._read(_TAG, at, end)
            length = self._read(_LONG_LENGTH, at + 4, end)[0]
            tag, at = group << 16 | number, at + 8
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM:
                raise self._corrupt()
            if length == _UNDEFINED:
                at = self._open_item(at, end, explicit, depth)
                continue
            self._fits(at + length, end)
            if not pixels:
                self.elements(at, at + length, explicit, depth + 1)
            at += length
        return at

    def _open_item(self, at: int, end: int, explicit: bool, depth: int) -> int:
        while True:
            group, number = self._read(_TAG, at, end)
            if group << 16 | number == _ITEM_END:
                return at + 8
            at = self.element(at, end, explicit, depth + 1)

    def _read(self, kind: struct.Struct, at: int, end: int) -> tuple[int, ...]:
        self._fits(at + kind.size, end)
        return kind.unpack_from(self._data, at)

    def _fits(self, at: int, end: int) -> None:
        if at <= end:
            return
        if at > len(self._data):
            raise InputError("truncated: the file ends inside an element", path=self._path, code="truncated")
        raise self._corrupt()

    def _corrupt(self) -> InputError:
        return InputError("corrupt: the lengths of its elements contradict each other", path=self._path, code="corrupt")
