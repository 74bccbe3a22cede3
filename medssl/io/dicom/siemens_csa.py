"""The private header (CSA, second form) of Siemens MR scanners: numbers of named elements, and nothing else of it."""

from __future__ import annotations

import struct

_MAX_BYTES = 1 << 24
_MAX_ELEMENTS = 1024
_MAX_ITEMS = 4096
_HEAD = 16
_ELEMENT = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<4i")
_CHECKS = (77, 205)


def csa_numbers(header: bytes, names: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    """Numbers of some elements.

    Args:
        header: the value of the private tag "CSA Image Header Info".
        names: the elements wanted.

    Returns:
        Name → its numbers; an element that is absent or empty is left out.

    Raises:
        ValueError: the header is of another form, ends early, or an element is no number.
    """
    if not header.startswith(b"SV10") or not _HEAD <= len(header) <= _MAX_BYTES:
        raise ValueError("not a CSA header of the second form")
    count, check = struct.unpack_from("<II", header, 8)
    if not 1 <= count <= _MAX_ELEMENTS or check not in _CHECKS:
        raise ValueError("the CSA header is malformed")
    found: dict[str, tuple[float, ...]] = {}
    at = _HEAD
    for _ in range(count):
        if at + _ELEMENT.size > len(header):
            raise ValueError("the CSA header ends early")
        name, _, _, _, items, check = _ELEMENT.unpack_from(header, at)
        at += _ELEMENT.size
        if not 0 <= items <= _MAX_ITEMS or check not in _CHECKS:
            raise ValueError("the CSA header is malformed")
        key = _text(name)
        values: list[float] = []
        for _ in range(items):
            value, at = _item(header, at)
            if key in names and value:
                values.append(float(value))
        if values:
            if key in found:
                raise ValueError("the CSA header has an element twice")
            found[key] = tuple(values)
    return found


def _item(header: bytes, at: int) -> tuple[str, int]:
    if at + _ITEM.size > len(header):
        raise ValueError("the CSA header ends early")
    length = _ITEM.unpack_from(header, at)[1]
    start = at + _ITEM.size
    if length < 0 or start + length > len(header):
        raise ValueError("the CSA header ends early")
    return _text(header[start : start + length]), start + (length + 3) // 4 * 4


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("latin-1").strip()
