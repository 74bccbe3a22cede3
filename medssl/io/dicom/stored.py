"""One stored picture of a DICOM file: read where it lies plainly, parsed where it does not, or handed on compressed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom.encapsulated import is_whole, picture_size, single_frame
from medssl.io.dicom.frame import Frame
from medssl.io.dicom.headers import Place
from medssl.io.dicom.job import Job
from medssl.io.dicom.plain import Odd
from medssl.io.dicom.tags import raw, whole
from medssl.io.dicom.values import rescaled
from medssl.io.dicom.walk import ENCAPSULATED
from medssl.io.files import MAX_RATIO

PIXEL_TAGS = (
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)

PLANE_FLOOR = 64 * 2**20
"""A plane below this many bytes may be compressed as far as it likes: an empty one goes very far."""


class Compressed(NamedTuple):
    """A frame that waits for its decoder.

    Args:
        job: what is known of it.
        data: its compressed bytes.
        high: HighBit.
    """

    job: Job
    data: bytes
    high: int


def plain_plane(handle: int, frame: Frame, place: Place, into: NDArray[Any] | None) -> NDArray[Any]:
    """Real values of a plane whose pixels lie plainly in an open file.

    Args:
        handle: the file.
        frame: the plane.
        place: where its pixels lie.
        into: an array ``(row, column)`` to write into, if its type is the one that ``rescaled`` would choose.

    Returns:
        ``into``, or an array of its own.

    Raises:
        InputError: ``truncated``: the file became shorter than its header says.
        Odd: the pixels are not those of the frame.
    """
    rows, columns = frame.stored_shape
    size = rows * columns * place.bits // 8
    if not 0 <= place.length - size < 2 or frame.index is not None:
        raise Odd
    kind = np.dtype(f"<{'i' if place.signed else 'u'}{place.bits // 8}")
    shift = _shift(frame)
    direct = into is not None and shift is not None and into.dtype.itemsize == kind.itemsize
    stored = into.view(kind) if direct and into is not None else np.empty((rows, columns), kind)
    _read(handle, stored, place.offset, frame.path)
    if place.used < place.bits:
        cleaned(stored, place.used, place.high, place.signed, in_place=True)
    if not direct or into is None or shift is None:
        return rescaled(stored, frame)
    if _whole_type(stored, shift, place) != into.dtype:
        return rescaled(stored.copy(), frame)
    if shift:
        # the sum is exact in its last bits, and it fits in them
        plain = into.view(f"u{into.dtype.itemsize}")
        plain += plain.dtype.type(shift & (1 << place.bits) - 1)
    return into


def _shift(frame: Frame) -> int | None:
    """What is added to stored values, if that is all that makes them real ones."""
    slope, intercept = frame.rescale
    if frame.table is not None or frame.tile is not None or slope != 1 or not float(intercept).is_integer():
        return None
    return int(intercept)


def _whole_type(stored: NDArray[Any], shift: int, place: Place) -> np.dtype[Any]:
    """The type that ``rescaled`` gives whole numbers: the stored one, or the narrowest that holds the sums."""
    if shift == 0:
        return stored.dtype
    half = 1 << place.used - 1
    low, high = (-half, half - 1) if place.signed else (0, 2 * half - 1)
    if low + shift < -(1 << 15) or high + shift >= 1 << 15:
        low, high = int(stored.min()), int(stored.max())
    for bits in (16, 32, 64):
        if low + shift >= -(1 << bits - 1) and high + shift < 1 << bits - 1:
            return np.dtype(f"i{bits // 8}")
    return np.dtype(np.float32)


def _read(handle: int, out: NDArray[Any], offset: int, path: Path) -> None:
    view = out.data.cast("B")
    while view:
        count = os.preadv(handle, [view], offset)
        if not count:
            raise InputError("truncated: the file ends inside its pixels", path=path, code="truncated")
        view, offset = view[count:], offset + count


def compressed_plane(data: bytes, frame: Frame, place: Place) -> Compressed:
    """The frame of an encapsulated file whose header is plain.

    Args:
        data: the file from the value of PixelData on.
        frame: the plane.
        place: what its header says.

    Raises:
        Odd: the items are not plain.
        InputError: ``codec`` or ``too-large``.
    """
    if frame.index is not None:
        raise Odd
    return _compressed(single_frame(data), place, len(data), 1, frame)


def parsed_plane(dataset: Any, frame: Frame) -> NDArray[Any] | Compressed:
    """One frame of a file that the full parser read: its stored values, cleaned, or its compressed bytes.

    Raises:
        InputError: the pixels are missing, or are not what the header says.
    """
    data = raw(dataset, "PixelData") or raw(dataset, "FloatPixelData") or raw(dataset, "DoubleFloatPixelData")
    if not data:
        raise InputError("no pixel data in this slice", path=frame.path, code="truncated")
    if not isinstance(data, bytes):
        raise InputError("the pixel data are of a type that holds no pixels", path=frame.path, code="corrupt")
    syntax = _syntax(dataset, frame)
    count = _count(dataset, frame)
    if syntax in ENCAPSULATED:
        bits = whole(dataset, "BitsAllocated", frame.path)
        used, high, signed = _bits(dataset, frame, bits)
        place = Place(str(syntax), 0, len(data), bits, used, high, bool(signed))
        return _compressed(_frame_of(dataset, data, count, frame), place, len(data), count, frame)
    if syntax.is_compressed:
        raise InputError(f"{syntax.name} is not a syntax of still pictures", path=frame.path, code="codec")
    _check_length(dataset, len(data), count, frame)
    return _native(dataset, frame)


def _compressed(data: bytes, place: Place, packed: int, count: int, frame: Frame) -> Compressed:
    rows, columns = frame.stored_shape
    size = rows * columns * count * place.bits // 8
    if size > PLANE_FLOOR and size > MAX_RATIO * packed:
        raise InputError(
            f"{packed} bytes of compressed pixels would grow to {size}, over the limit ratio of {MAX_RATIO}",
            path=frame.path,
            code="too-large",
        )
    if place.bits not in (8, 16, 32):
        raise InputError(f"BitsAllocated is {place.bits}, expected 8, 16 or 32", path=frame.path, code="not-a-volume")
    if not is_whole(data, place.syntax):
        raise InputError("truncated: the compressed pixels have no end", path=frame.path, code="truncated")
    said = picture_size(data)
    if said not in (None, frame.stored_shape, (0, columns)):
        raise InputError(
            f"the compressed picture has {said} pixels, the header declares {frame.stored_shape}",
            path=frame.path,
            code="corrupt",
        )
    job = Job(place.syntax, rows, columns, place.bits, place.used, int(place.signed))
    return Compressed(job, data, place.high)


def _frame_of(dataset: Any, data: bytes, count: int, frame: Frame) -> bytes:
    from pydicom.encaps import get_frame

    tables = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        tables = (raw(dataset, "ExtendedOffsetTable") or b"", raw(dataset, "ExtendedOffsetTableLengths") or b"")
    try:
        return bytes(get_frame(data, frame.index or 0, number_of_frames=count, extended_offsets=tables))
    except Exception as error:
        # offsets that lead nowhere provoke anything
        raise InputError(
            "the frames of the compressed pixels cannot be found", path=frame.path, code="codec"
        ) from error


def _native(dataset: Any, frame: Frame) -> NDArray[Any]:
    """Stored values of one uncompressed frame; the parser's own would be shifted for BitsStored, HighBit unasked."""
    if "PixelData" not in dataset:
        return _real_numbers(dataset, frame)
    rows, columns = frame.stored_shape
    bits = whole(dataset, "BitsAllocated", frame.path)
    used, high, signed = _bits(dataset, frame, bits)
    element, data = dataset["PixelData"], dataset.PixelData
    if bits not in (8, 16, 32) or element.is_undefined_length or raw(dataset, "SamplesPerPixel") not in (None, 1):
        raise InputError("the pixel data do not fit their header", path=frame.path, code="corrupt")
    little = _syntax(dataset, frame).is_little_endian
    if bits == 8 and not little and element.VR == "OW":
        # words of two pixels each, the second first (PS3.5 A.3)
        data = np.frombuffer(data[: len(data) // 2 * 2], "u2").byteswap().tobytes()
    kind = np.dtype(f"{'<' if little else '>'}u{bits // 8}")
    first = (frame.index or 0) * rows * columns
    out = np.frombuffer(data, kind, rows * columns, first * kind.itemsize).reshape(rows, columns)
    return cleaned(out.astype(kind.newbyteorder("=")), used, high, bool(signed))


def _real_numbers(dataset: Any, frame: Frame) -> NDArray[Any]:
    """FloatPixelData or DoubleFloatPixelData of one frame."""
    from pydicom.pixels import pixel_array

    try:
        return np.asarray(pixel_array(dataset, index=frame.index or 0, raw=True)).reshape(frame.stored_shape)
    except MemoryError:
        raise
    except Exception as error:
        # the message may hold private text, so it is not repeated
        raise InputError("the pixel data do not fit their header", path=frame.path, code="corrupt") from error


def _syntax(dataset: Any, frame: Frame) -> Any:
    from pydicom.uid import UID, AllTransferSyntaxes

    syntax = UID(str(getattr(dataset.file_meta, "TransferSyntaxUID", "")))
    if syntax not in AllTransferSyntaxes:
        raise InputError("unknown or missing transfer syntax", path=frame.path, code="codec")
    return syntax


def _count(dataset: Any, frame: Frame) -> int:
    return whole(dataset, "NumberOfFrames", frame.path) if raw(dataset, "NumberOfFrames") else 1


def _check_length(dataset: Any, length: int, count: int, frame: Frame) -> None:
    bits = whole(dataset, "BitsAllocated", frame.path)
    if bits not in (8, 16, 32, 64):
        raise InputError(f"BitsAllocated is {bits}, expected 8, 16, 32 or 64", path=frame.path, code="not-a-volume")
    one = frame.stored_shape[0] * frame.stored_shape[1] * bits // 8
    wanted = one * count
    if length < wanted:
        raise InputError(
            f"truncated: {length} bytes of pixel data, expected {wanted}", path=frame.path, code="truncated"
        )
    if length >= wanted + one:
        raise InputError(f"{length} bytes of pixel data, expected {wanted}", path=frame.path, code="corrupt")


def _bits(dataset: Any, frame: Frame, allocated: int) -> tuple[int, int, int]:
    """BitsStored, HighBit and PixelRepresentation, if they fit."""
    used = whole(dataset, "BitsStored", frame.path)
    high = raw(dataset, "HighBit")
    high = high if isinstance(high, int) else used - 1
    signed = raw(dataset, "PixelRepresentation")
    if not 1 <= used <= allocated or not used - 1 <= high < allocated or signed not in (0, 1):
        raise InputError(
            f"BitsStored {used}, HighBit {high}, PixelRepresentation {signed} do not fit {allocated} bits",
            path=frame.path,
            code="corrupt",
        )
    return used, high, signed


def cleaned(stored: NDArray[Any], used: int, high: int, signed: bool, in_place: bool = False) -> NDArray[Any]:
    """Clear the bits beyond HighBit and carry the sign on (PS3.5 8.1.1): they may hold anything.

    Example:
        >>> cleaned(np.array([0xAFFF, 0xA001], dtype=np.uint16), used=12, high=11, signed=True)
        array([-1,  1], dtype=int16)
    """
    allocated = stored.dtype.itemsize * 8
    if used == allocated and (stored.dtype.kind == "i") == signed:
        return stored
    plain = stored.view(f"u{stored.dtype.itemsize}")
    if not signed and (high == used - 1 and not int(plain.max()) >> used):
        # nothing is there to clear
        return plain
    lifted = np.left_shift(plain, allocated - 1 - high, out=plain if in_place else None)
    out: NDArray[Any] = lifted.view(f"{'i' if signed else 'u'}{stored.dtype.itemsize}")
    np.right_shift(out, allocated - used, out=out)
    return out
