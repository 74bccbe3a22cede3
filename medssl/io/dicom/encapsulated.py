"""The compressed bytes of one frame, taken out of the items that DICOM wraps them in (PS3.5 A.4)."""

from __future__ import annotations

import struct

from medssl.io.dicom.plain import Odd

_item = struct.Struct("<HHI").unpack_from
_ITEM, _END, _PADDING = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD), (0xFFFC, 0xFFFC)
_RLE = "1.2.840.10008.1.2.5"
_END_OF_IMAGE = b"\xff\xd9"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
"""Markers that open a frame of each JPEG process, and of JPEG-LS."""


def single_frame(data: bytes) -> bytes:
    r"""The only frame of an encapsulated PixelData: all its fragments.

    Args:
        data: from the value's first byte to the file's end.

    Raises:
        Odd: the items do not add up to the file's end.

    Example:
        >>> item = lambda value: b"\xfe\xff\x00\xe0" + len(value).to_bytes(4, "little") + value
        >>> single_frame(item(b"") + item(b"abcd") + item(b"ef") + b"\xfe\xff\xdd\xe0\0\0\0\0")
        b'abcdef'
    """
    at, items = 0, []
    try:
        while True:
            group, element, length = _item(data, at)
            at += 8
            if (group, element) == _END and length == 0:
                break
            if (group, element) != _ITEM or at + length > len(data):
                raise Odd
            items.append(data[at : at + length])
            at += length
        if at != len(data):
            group, element, _ = _item(data, at)
            if (group, element) != _PADDING or data[at + 4 : at + 6] != b"OB":
                raise Odd
            if at + 12 + int.from_bytes(data[at + 8 : at + 12], "little") != len(data):
                raise Odd
    except struct.error as error:
        raise Odd from error
    # the first item is the table of offsets, and a single frame has none but 0
    if len(items) < 2 or items[0] not in (b"", b"\0\0\0\0"):
        raise Odd
    return b"".join(items[1:])


def is_whole(frame: bytes, syntax: str) -> bool:
    r"""Whether a compressed frame has its end: decoders fill up what is missing without a word.

    Example:
        >>> jpeg = "1.2.840.10008.1.2.4.50"
        >>> is_whole(b"\xff\xd8...\xff\xd9\0", jpeg), is_whole(b"\xff\xd8...", jpeg)
        (True, False)
    """
    if syntax == _RLE:
        return len(frame) > 64
    # a byte that makes the length even follows, of either kind
    return frame[-4096:].rstrip(b"\0\xff").endswith(_END_OF_IMAGE)


def picture_size(frame: bytes) -> tuple[int, int] | None:
    r"""Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream itself declares; None where it does not.

    Example:
        >>> picture_size(b"\xff\xd8\xff\xc3\0\x0b\x0c\x02\0\x01\0\x01\1\x11\0")
        (512, 256)
    """
    try:
        if frame[:2] == b"\xff\xd8":
            return _jpeg_size(frame)
        at = frame[:4096].find(b"\xff\x4f\xff\x51")
        if at < 0:
            return None
        right, bottom, left, top = struct.unpack_from(">4I", frame, at + 8)
    except (struct.error, IndexError):
        return None
    return bottom - top, right - left


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    at = 2
    while frame[at] == 0xFF:
        kind = frame[at + 1]
        if kind == 0xFF:
            at += 1
        elif kind in _FRAME_HEADERS:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return int(rows), int(columns)
        elif kind in (0xD9, 0xDA):
            return None
        else:
            at += 2 + int(struct.unpack_from(">H", frame, at + 2)[0])
    return None
