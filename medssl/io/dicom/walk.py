"""The elements of a plain little endian DICOM header, walked strictly: what is not plain is left to the full parser."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

from medssl.io.dicom.needed import HEADER_TAGS, PRIVATE_TAGS
from medssl.io.dicom.plain import Element, Odd, Short, Tags, check_character_set, plain_value

UNDEFINED = 0xFFFFFFFF
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
ENCAPSULATED = frozenset(
    f"1.2.840.10008.1.2.{end}" for end in ("5", *(f"4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)))
)
"""Transfer syntaxes of compressed pixels after an explicit little endian header."""

_EXTRA = ("NumberOfFrames", "BitsStored", "HighBit")
_PIXELS, _PADDING, _CHARSET = 0x7FE00010, 0xFFFCFFFC, 0x00080005
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_HEAD = {
    **dict.fromkeys(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split(), 8),
    **dict.fromkeys(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split(), 12),
}
"""Type → bytes before an explicit element's value: those of 12 have a length of four bytes."""

_MAX_DEPTH = 8

_explicit = struct.Struct("<HH2sH").unpack_from
_implicit = struct.Struct("<HHI").unpack_from
_long = struct.Struct("<I").unpack_from

_UID = re.compile(rb"[0-9.]+\0?")


@dataclass(frozen=True)
class Walked:
    """What a plain header says.

    Args:
        tags: the elements that order and place image planes.
        extra: NumberOfFrames, BitsStored, HighBit, where present.
        syntax: the transfer syntax's UID.
        pixels: where the value of PixelData starts in the file.
        length: its bytes, or ``UNDEFINED`` for encapsulated pixels.
    """

    tags: Tags
    extra: dict[str, Any]
    syntax: str
    pixels: int
    length: int


def walk(head: bytes) -> Walked:
    """Walk a file's first bytes up to its pixel data.

    Whatever this accepts, the full parser reads to the same values: elements stand in rising order, lengths add up,
    values are of the dictionary's type and written plainly.

    Raises:
        Short: the header goes on beyond ``head``.
        Odd: anything is out of the ordinary.
    """
    try:
        at, syntax = _meta(head)
        walked: dict[str | int, Any] = {}
        at, length = (_walk_implicit if syntax == IMPLICIT else _walk_explicit)(head, at, walked)
    except (struct.error, IndexError) as error:
        raise Short from error
    if (length == UNDEFINED) != (syntax in ENCAPSULATED):
        raise Odd
    extra = {name: walked[name] for name in _EXTRA if name in walked}
    for name in _EXTRA[1:]:
        walked.pop(name, None)
    return Walked(Tags(walked), extra, syntax, at, length)


def _meta(head: bytes) -> tuple[int, str]:
    """Where the file meta information ends, and the transfer syntax that it names."""
    if head[128:132] != b"DICM":
        raise Short if len(head) < 132 else Odd
    group, element, vr, length = _explicit(head, 132)
    if (group, element, vr, length) != (2, 0, b"UL", 4):
        raise Odd
    at, syntax, previous = 144, "", 0
    end = at + _long(head, 140)[0]
    while at < end:
        group, element, vr, length = _explicit(head, at)
        if group != 2 or element <= previous:
            raise Odd
        previous = element
        start = at + _head(vr)
        if start - at == 12:
            length = _long(head, at + 8)[0]
        at = start + length
        if element == 0x10:
            value = head[start:at]
            if vr != b"UI" or _UID.fullmatch(value) is None:
                raise Odd
            syntax = value.rstrip(b"\0").decode("ascii")
    if at != end or (syntax not in (IMPLICIT, EXPLICIT) and syntax not in ENCAPSULATED):
        raise Odd
    return end, syntax


def _head(vr: bytes) -> int:
    if vr not in _HEAD:
        raise Odd
    return _HEAD[vr]


def _walk_explicit(head: bytes, at: int, out: dict[str | int, Any]) -> tuple[int, int]:
    wanted, previous = _wanted(), 0x0002FFFF
    while True:
        group, element, vr, length = _explicit(head, at)
        tag = group << 16 | element
        if tag <= previous:
            raise Odd
        previous = tag
        start = _HEAD.get(vr, 0)
        if start == 12:
            length = _long(head, at + 8)[0]
        elif not start:
            raise Odd
        at += start
        if tag in wanted:
            name, kind = wanted[tag]
            if vr != kind or length == UNDEFINED:
                raise Odd
            _take(head, at, length, name, kind, out)
        elif group >= 0x7FE0:
            if tag != _PIXELS or vr not in (b"OW", b"OB"):
                raise Odd
            return at, length
        elif length == UNDEFINED:
            if vr != b"SQ":
                raise Odd
            at = _sequence(head, at, explicit=True)
            continue
        at += length


def _walk_implicit(head: bytes, at: int, out: dict[str | int, Any]) -> tuple[int, int]:
    wanted, previous = _wanted(), 0x0002FFFF
    if 0x40 < head[at + 4] < 0x5B and 0x40 < head[at + 5] < 0x5B:
        # this looks like an explicit type, whatever the syntax says
        raise Odd
    while True:
        group, element, length = _implicit(head, at)
        tag = group << 16 | element
        if tag <= previous:
            raise Odd
        previous = tag
        at += 8
        if tag in wanted:
            name, kind = wanted[tag]
            if length == UNDEFINED or isinstance(name, int):
                raise Odd
            _take(head, at, length, name, kind, out)
        elif group >= 0x7FE0:
            if tag != _PIXELS:
                raise Odd
            return at, length
        elif length == UNDEFINED:
            _must_be_sequence(tag)
            at = _sequence(head, at, explicit=False)
            continue
        at += length


def _take(head: bytes, at: int, length: int, name: str | int, kind: bytes, out: dict[str | int, Any]) -> None:
    data = head[at : at + length]
    if len(data) < length:
        raise Short
    if name:
        value = plain_value(kind, data)
        out[name] = Element(value) if isinstance(name, int) else value
    else:
        check_character_set(data)


def _sequence(head: bytes, at: int, explicit: bool, depth: int = 0) -> int:
    """The place behind a sequence of undefined length."""
    if depth > _MAX_DEPTH:
        raise Odd
    while True:
        group, element, length = _implicit(head, at)
        tag = group << 16 | element
        at += 8
        if tag == _SEQUENCE_END and length == 0:
            return at
        if tag != _ITEM:
            raise Odd
        at = _item(head, at, length, explicit, depth)


def _item(head: bytes, at: int, length: int, explicit: bool, depth: int) -> int:
    end = None if length == UNDEFINED else at + length
    while at != end:
        group, element, inner = _implicit(head, at)
        tag = group << 16 | element
        if tag == _ITEM_END and end is None and inner == 0:
            return at + 8
        if group in (0xFFFE, 0) or tag == _CHARSET or (end is not None and at > end):
            raise Odd
        at += 8
        vr = b""
        if explicit:
            vr, inner = head[at - 4 : at - 2], inner >> 16
            if _head(vr) == 12:
                inner = _long(head, at)[0]
                at += 4
        if inner != UNDEFINED:
            at += inner
            continue
        if explicit and vr != b"SQ":
            raise Odd
        if not explicit:
            _must_be_sequence(tag)
        at = _sequence(head, at, explicit, depth + 1)
    return at


@cache
def _must_be_sequence(tag: int) -> None:
    """An implicit element of undefined length is a sequence only where the dictionary says so."""
    from pydicom.datadict import dictionary_VR

    try:
        kind = dictionary_VR(tag)
    except KeyError:
        raise Odd from None
    if kind != "SQ":
        raise Odd


@cache
def _wanted() -> dict[int, tuple[str | int, bytes]]:
    """Tag → keyword (the number of a private one, nothing for the character set) and type."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    out: dict[int, tuple[str | int, bytes]] = {}
    for keyword in (*HEADER_TAGS, *_EXTRA):
        tag = tag_for_keyword(keyword)
        if tag is not None:
            out[tag] = (keyword, dictionary_VR(tag).encode())
    for number in PRIVATE_TAGS:
        out[number] = (number, b"LO" if number & 0xFFFF <= 0xFF else b"US")
    out[_CHARSET] = ("", b"CS")
    return out
