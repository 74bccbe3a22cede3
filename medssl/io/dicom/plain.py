"""Values of plainly written DICOM elements, equal to what the full parser makes of them; all else is odd."""

from __future__ import annotations

import math
import re
import struct
from functools import lru_cache
from typing import Any, NamedTuple

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_UID = re.compile(rb"[0-9.]+\0?")
_SETS = (6, 13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 203)
_EXTENDED = frozenset([b"", *(b"ISO 2022 IR %d" % n for n in (*_SETS, 58, 87, 149, 159))])
_ALONE = frozenset([b"", b"GB18030", b"GBK", b"ISO_IR 192", *(b"ISO_IR %d" % n for n in _SETS)])


class Odd(Exception):  # noqa: N818 (it never leaves this room: the full parser takes the file over)
    """Something is not plain."""


class Short(Exception):  # noqa: N818
    """The bytes at hand end inside the header."""


class Decimal(float):
    """A decimal string's number, which prints as it was written."""

    written: str

    def __str__(self) -> str:
        return self.written


class Integer(int):
    """An integer string's number, which prints as it was written."""

    written: str

    def __str__(self) -> str:
        return self.written


class Element(NamedTuple):
    """What asking for a private tag by its number gives."""

    value: Any


class Tags(dict[str | int, Any]):
    """Values of a header by keyword, as the full parser gives them; a tag that was not asked for is absent.

    An empty element is None. A private tag stands under its number, as an ``Element``.

    Example:
        >>> tags = Tags({"Rows": 512, 0x00190010: Element("SIEMENS MR HEADER")})
        >>> tags.get("Rows"), tags.Rows, "Columns" in tags, tags[0x00190010].value
        (512, 512, False, 'SIEMENS MR HEADER')
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@lru_cache(maxsize=4096)
def plain_value(kind: bytes, data: bytes) -> Any:
    """An element's value; slices of a series share most of theirs.

    Args:
        kind: its type (value representation).
        data: its bytes.

    Raises:
        Odd: it is not plainly written, or of a type that is not read here.
    """
    if not data:
        return None
    if kind == b"US":
        if len(data) != 2:
            raise Odd
        return int.from_bytes(data, "little")
    if kind == b"FD":
        if len(data) % 8:
            raise Odd
        doubles = struct.unpack(f"<{len(data) // 8}d", data)
        return doubles[0] if len(doubles) == 1 else doubles
    if kind not in (b"CS", b"DA", b"DS", b"IS", b"LO", b"SH", b"TM", b"UI"):
        raise Odd
    return _text(kind, data)


def _text(kind: bytes, data: bytes) -> Any:
    if kind == b"UI" and _UID.fullmatch(data) is None:
        raise Odd
    written = data.rstrip(b"\0" if kind == b"UI" else b" ").decode("ascii", "replace")
    if not written.isprintable() or not written.isascii():
        raise Odd
    parts = written.split("\\")
    if any(not part or part != part.strip() for part in parts):
        raise Odd
    values = tuple(_number(kind, part) for part in parts) if kind in (b"DS", b"IS") else tuple(parts)
    return values[0] if len(values) == 1 else values


def _number(kind: bytes, written: str) -> Decimal | Integer:
    out: Decimal | Integer
    if kind == b"IS":
        if _INTEGER.fullmatch(written) is None:
            raise Odd
        out = Integer(written)
    else:
        if _DECIMAL.fullmatch(written) is None:
            raise Odd
        out = Decimal(written)
        if not math.isfinite(out):
            raise Odd
    out.written = written
    return out


def check_character_set(data: bytes) -> None:
    """Accept the known character sets: all hold ASCII, which is all that is accepted of texts.

    Raises:
        Odd: an unknown one.
    """
    terms = [term.strip() for term in data.split(b"\\")]
    if not (len(terms) == 1 and terms[0] in _ALONE) and not all(term in _EXTENDED for term in terms):
        raise Odd
