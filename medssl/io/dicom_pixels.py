"""Pixels of image planes: decoded, unused bits cleared, rescaled slice by slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom_files import quiet, read_dataset
from medssl.io.dicom_frames import Frame
from medssl.io.dicom_series import Stack
from medssl.io.dicom_tags import raw, whole
from medssl.io.dicom_values import rescaled
from medssl.io.files import MAX_RATIO, check_size

_PIXEL_TAGS = [
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
]

PLANE_FLOOR = 64 * 2**20
"""A plane below this many bytes may be compressed as far as it likes: an empty one goes very far."""


def read_pixels(stack: Stack, path: Path) -> NDArray[Any]:
    """Voxels ``(1, i, j, k)``: column, row, slice.

    Raises:
        InputError: naming the file whose pixels are missing, truncated or cannot be decoded.
    """
    rows, columns = stack.frames[0].shape
    check_size((rows, columns, len(stack.frames)), 4, path)
    planes: list[NDArray[Any]] = []
    opened: tuple[Path, Any] | None = None
    for frame in stack.frames:
        if opened is None or opened[0] != frame.path:
            opened = (frame.path, read_dataset(frame.path, _PIXEL_TAGS, stop_before_pixels=False))
        with quiet():
            stored = _clean(_decode(opened[1], frame), opened[1], frame)
        planes.append(rescaled(stored, frame).T)
    kind = np.result_type(*{plane.dtype for plane in planes})
    if kind == np.float64:
        kind = np.dtype(np.float32)
    out = np.empty((1, columns, rows, len(planes)), dtype=kind)
    for k, plane in enumerate(planes):
        out[0, :, :, k] = plane
    return out if "gaps_resampled" not in stack.flags else _resampled(out, stack.at)


def _decode(dataset: Any, frame: Frame) -> NDArray[Any]:
    from pydicom.pixels import pixel_array

    data = raw(dataset, "PixelData") or raw(dataset, "FloatPixelData") or raw(dataset, "DoubleFloatPixelData")
    if not data:
        raise InputError("no pixel data in this slice", path=frame.path, code="truncated")
    syntax = _syntax(dataset, frame)
    if syntax.is_compressed:
        _check_ratio(dataset, len(data), frame)
    else:
        _check_length(dataset, len(data), frame)
    try:
        out = np.asarray(pixel_array(dataset, index=frame.index or 0, raw=True))
    except MemoryError:
        raise
    except Exception as error:
        # decoders raise whatever their plugin raises; the message may hold private text, so it is not repeated
        raise InputError(
            f"pixel data cannot be decoded (transfer syntax {syntax.name})", path=frame.path, code="codec"
        ) from error
    if out.shape != frame.stored_shape:
        raise InputError(
            f"decoded {out.shape} pixels, the header declares {frame.stored_shape}", path=frame.path, code="corrupt"
        )
    return out


def _syntax(dataset: Any, frame: Frame) -> Any:
    from pydicom.uid import UID, AllTransferSyntaxes

    syntax = UID(str(getattr(dataset.file_meta, "TransferSyntaxUID", "")))
    if syntax not in AllTransferSyntaxes:
        raise InputError("unknown or missing transfer syntax", path=frame.path, code="codec")
    return syntax


def _check_length(dataset: Any, length: int, frame: Frame) -> None:
    bits = whole(dataset, "BitsAllocated", frame.path)
    if bits not in (8, 16, 32, 64):
        raise InputError(f"BitsAllocated is {bits}, expected 8, 16, 32 or 64", path=frame.path, code="not-a-volume")
    one = frame.stored_shape[0] * frame.stored_shape[1] * bits // 8
    wanted = one * (whole(dataset, "NumberOfFrames", frame.path) if raw(dataset, "NumberOfFrames") else 1)
    if length < wanted:
        raise InputError(
            f"truncated: {length} bytes of pixel data, expected {wanted}", path=frame.path, code="truncated"
        )
    if length >= wanted + one:
        raise InputError(f"{length} bytes of pixel data, expected {wanted}", path=frame.path, code="corrupt")


def _check_ratio(dataset: Any, length: int, frame: Frame) -> None:
    frames = whole(dataset, "NumberOfFrames", frame.path) if raw(dataset, "NumberOfFrames") else 1
    size = frame.stored_shape[0] * frame.stored_shape[1] * frames * whole(dataset, "BitsAllocated", frame.path) // 8
    if size > PLANE_FLOOR and size > MAX_RATIO * length:
        raise InputError(
            f"{length} bytes of compressed pixels would grow to {size}, over the limit ratio of {MAX_RATIO}",
            path=frame.path,
            code="too-large",
        )


def _clean(stored: NDArray[Any], dataset: Any, frame: Frame) -> NDArray[Any]:
    """Clear the bits beyond HighBit and carry the sign on (PS3.5 8.1.1): they may hold anything."""
    if stored.dtype.kind == "f":
        return stored
    allocated = stored.dtype.itemsize * 8
    bits = whole(dataset, "BitsStored", frame.path)
    high = raw(dataset, "HighBit")
    high = high if isinstance(high, int) else bits - 1
    signed = raw(dataset, "PixelRepresentation")
    if not 1 <= bits <= allocated or not bits - 1 <= high < allocated or signed not in (0, 1):
        raise InputError(
            f"BitsStored {bits}, HighBit {high}, PixelRepresentation {signed} do not fit {allocated} bits",
            path=frame.path,
            code="corrupt",
        )
    if bits == allocated and (stored.dtype.kind == "i") == bool(signed):
        return stored
    plain = stored.view(f"u{stored.dtype.itemsize}")
    lifted = plain << (allocated - 1 - high)
    return lifted.view(f"{'i' if signed else 'u'}{stored.dtype.itemsize}") >> (allocated - bits)


def _resampled(data: NDArray[Any], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Linear interpolation from uneven slice places to whole ones."""
    wanted = np.arange(round(float(at[-1])) + 1, dtype=np.float64)
    low = np.clip(np.searchsorted(at, wanted, side="right") - 1, 0, len(at) - 2)
    share = np.clip((wanted - at[low]) / (at[low + 1] - at[low]), 0, 1)
    out: NDArray[np.float32] = (data[..., low] * (1 - share) + data[..., low + 1] * share).astype(np.float32)
    return out
