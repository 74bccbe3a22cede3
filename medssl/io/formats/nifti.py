"""NIfTI-1 and NIfTI-2, single file or pair: every field that matters and every data byte is checked here."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.description import Description
from medssl.io.files import (
    Readable,
    as_stored,
    check_growth,
    check_size,
    on_disk,
    open_regular,
    read_exactly,
    read_some,
    stays_inside,
    unpacked,
)
from medssl.io.formats.nifti_affine import choose_affine
from medssl.io.formats.nifti_header import DATATYPES, SIZES, NiftiHeader
from medssl.io.values import scaled
from medssl.volume import Volume

_REFUSED = {
    1: "binary voxels",
    32: "complex voxels (complex64)",
    1792: "complex voxels (complex128)",
    2048: "complex voxels (complex256)",
    128: "colour (RGB) voxels",
    2304: "colour (RGBA) voxels",
    1536: "128-bit floats",
}
_VECTOR = {1003, 1004, 1005, 1006, 1007}
"""Intent codes that make the fifth axis the channels of one volume."""


def read_nifti(path: Path, *, volume: int | None = None, prefer: str | None = None) -> Volume:
    """Read a NIfTI file.

    Args:
        path: ``.nii``, ``.nii.gz``, ``.hdr`` or ``.img``.
        volume: which one of a 4D file, from 0; a 4D file is refused without it.
        prefer: ``sform`` or ``qform``, where the two disagree.

    Raises:
        InputError: naming what in the header or data is not right.
    """
    header_path, data_path = _parts(path)
    with open_regular(header_path) as file:
        stream = _stream(file, header_path)
        header, raw = _header(stream, header_path)
        kind, shape = _layout(header, header_path)
        affine, flags = choose_affine(header, shape[:3], path, prefer)
        if _scales(header):
            # scaled voxels need memory of their own, beside those that were read
            check_growth(math.prod(shape) * (kind.itemsize + 4), os.stat(data_path).st_size, path)
        if header_path == data_path:
            _skip_to_data(stream, header, raw, header_path)
            values = _voxels(stream, file, shape, kind, data_path)
        else:
            with open_regular(data_path) as data_file:
                data_stream = _stream(data_file, data_path)
                _pass_over(data_stream, float(header["vox_offset"]), data_path)
                values = _voxels(data_stream, data_file, shape, kind, data_path)
    data = _scale(_to_channels(values, header, volume, path), header, path)
    return Volume(data, affine, flags, {})


def describe_nifti(path: Path, prefer: str | None = None) -> Description:
    """What the header says; no voxel is read, and where sform and qform disagree it is refused as in reading."""
    header_path, _ = _parts(path)
    with open_regular(header_path) as file:
        header, _ = _header(_stream(file, header_path), header_path)
    kind, shape = _layout(header, header_path)
    affine, flags = choose_affine(header, shape[:3], path, prefer)
    vector = len(shape) == 5 and shape[3] == 1 and int(header["intent_code"]) in _VECTOR
    if len(shape) > 4 and not vector:
        raise InputError(
            f"{len(shape)}D image of size {shape}: several volumes where one was expected",
            path=path,
            code="several-volumes",
        )
    rest = int(np.prod(shape[3:], dtype=np.int64))
    spatial = (shape[0], shape[1], shape[2])
    return Description(
        spatial, rest if vector else 1, 1 if vector else rest, kind.newbyteorder("=").name, affine, flags
    )


def _parts(path: Path) -> tuple[Path, Path]:
    name = path.name.lower()
    for ending, other in ((".img.gz", ".hdr.gz"), (".img", ".hdr"), (".hdr.gz", ".img.gz"), (".hdr", ".img")):
        if name.endswith(ending):
            stem = path.name[: -len(ending)]
            spellings = [path.with_name(stem + other), path.with_name(stem + other.upper())]
            twin = next((file for file in spellings if file.exists()), spellings[0])
            if not os.path.lexists(twin):
                raise InputError(f"the other half of the pair, {twin.name}, is missing", path=path, code="missing")
            # the half that nobody named must lie where the named one does
            stays_inside(twin, path)
            return (twin, path) if ".img" in ending else (path, twin)
    return path, path


def _stream(file: BinaryIO, path: Path) -> Readable:
    start = file.read(2)
    file.seek(0)
    return unpacked(file, "gzip" if start == b"\x1f\x8b" else "raw", path)


def _header(stream: Readable, path: Path) -> tuple[NiftiHeader, bytes]:
    raw = read_some(stream, 348, path)
    if len(raw) < 348:
        raise InputError(f"truncated: the header has {len(raw)} of 348 bytes", path=path, code="truncated")
    version = 1
    if raw[4:7] in (b"n+2", b"ni2"):
        raw += read_some(stream, 540 - 348, path)
        version = 2
    sizes = {int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big")}
    wanted = SIZES[version]
    if wanted not in sizes or len(raw) < wanted:
        raise InputError(f"corrupt header: sizeof_hdr is not {wanted}", path=path, code="corrupt")
    if raw[344:348] not in (b"n+1\0", b"ni1\0") and version == 1:
        raise InputError(
            "Analyze 7.5 or another format: the header has no NIfTI magic, so its orientation (which side is left) "
            "is unknown",
            path=path,
            hint="convert it to NIfTI with the tool that wrote it",
        )
    # the byte order is told by sizeof_hdr: one guessed from dim[0] is fooled by a corrupt one
    return NiftiHeader(raw, ">" if int.from_bytes(raw[:4], "big") == wanted else "<"), raw


def _layout(header: NiftiHeader, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    ndim = int(header["dim"][0])
    if not 1 <= ndim <= 7:
        raise InputError(f"corrupt header: dim[0] is {ndim}, expected 1 to 7 dimensions", path=path, code="corrupt")
    shape = [int(n) for n in header["dim"][1 : ndim + 1]]
    if min(shape) < 1:
        raise InputError(
            f"corrupt header: dim is {shape}, an image with a zero or negative dimension is empty",
            path=path,
            code="corrupt",
        )
    code = int(header["datatype"])
    if code in _REFUSED:
        raise InputError(f"{_REFUSED[code]} are not read", path=path, code="not-a-volume")
    if code not in DATATYPES:
        raise InputError(f"corrupt header: datatype {code} is unknown", path=path, code="corrupt")
    kind = np.dtype(DATATYPES[code]).newbyteorder(header.endianness)
    if int(header["bitpix"]) != kind.itemsize * 8:
        raise InputError(
            f"corrupt header: bitpix is {int(header['bitpix'])}, datatype {code} has {kind.itemsize * 8}",
            path=path,
            code="corrupt",
        )
    check_size(shape, kind.itemsize, path)
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) < 3 or min(shape[:3]) < 2:
        raise InputError(f"2D image: its size is {tuple(shape)}, expected a volume", path=path, code="not-a-volume")
    return kind, tuple(shape)


def _skip_to_data(stream: Readable, header: NiftiHeader, raw: bytes, path: Path) -> None:
    """Walk the header extensions (never kept: they may hold private text) up to the voxels."""
    offset = float(header["vox_offset"])
    if not offset.is_integer() or offset < len(raw) + 4:
        raise InputError(
            f"corrupt header: vox_offset is {offset:g}, expected {len(raw) + 4} or more bytes",
            path=path,
            code="corrupt",
        )
    if offset > 2**26:
        raise InputError(f"corrupt header: extensions of {offset:.0f} bytes", path=path, code="corrupt")
    rest = read_some(stream, int(offset) - len(raw), path)
    if len(rest) != int(offset) - len(raw):
        raise InputError("truncated: the file ends in its header extension", path=path, code="truncated")
    at = 4
    order: Literal["big", "little"] = "big" if header.endianness == ">" else "little"
    while rest[0] and at + 8 <= len(rest):
        size = int.from_bytes(rest[at : at + 4], order)
        if size == 0:
            break
        # sizes that are not multiples of 16 are wrong but harmless: vox_offset tells where the voxels begin
        if size < 8 or at + size > len(rest):
            raise InputError(f"corrupt header extension: it claims {size} bytes", path=path, code="corrupt")
        at += size


def _pass_over(stream: Readable, size: float, path: Path) -> None:
    """Pass over ``size`` bytes before the voxels of a pair's data file."""
    if not size.is_integer() or not 0 <= size <= 2**26 or len(read_some(stream, int(size), path)) != size:
        raise InputError(f"corrupt header: vox_offset is {size:g}", path=path, code="corrupt")


def _voxels(stream: Readable, file: BinaryIO, shape: tuple[int, ...], kind: np.dtype[Any], path: Path) -> NDArray[Any]:
    size = file.seek(0, io.SEEK_CUR)
    total = path.stat().st_size
    packed = total if stream is not file else None
    declared = check_size(shape, kind.itemsize, path, packed)
    check_growth(declared, on_disk(path), path)
    if packed is None and total - size != declared:
        short = total - size < declared
        what = "truncated" if short else "corrupt"
        raise InputError(
            f"{what}: {total - size} data bytes, the header declares {declared}: the file is "
            f"{'too short' if short else 'too long, extra bytes follow the voxels'}",
            path=path,
            code=what,
        )
    return as_stored(read_exactly(stream, declared, path), kind).reshape(shape, order="F")


def _to_channels(values: NDArray[Any], header: NiftiHeader, volume: int | None, path: Path) -> NDArray[Any]:
    if values.ndim == 3:
        if volume not in (None, 0):
            raise InputError(f"volume {volume} was asked for, the file holds only volume 0", path=path, code="usage")
        return values[None]
    if values.ndim == 5 and values.shape[3] == 1 and int(header["intent_code"]) in _VECTOR and volume is None:
        return np.moveaxis(values[:, :, :, 0], 3, 0)
    if values.ndim == 4 and volume is not None:
        if not 0 <= volume < values.shape[3]:
            raise InputError(f"volume {volume} of a file with {values.shape[3]}", path=path, code="usage")
        # a copy, so that the others' memory is given back
        return values[None, ..., volume].copy(order="F")
    raise InputError(
        f"{values.ndim}D image of size {values.shape}: several volumes where one was expected",
        path=path,
        code="several-volumes",
        hint="choose one with --volume N" if values.ndim == 4 else None,
    )


def _scale(data: NDArray[Any], header: NiftiHeader, path: Path) -> NDArray[Any]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not _scales(header):
        return data
    if not np.isfinite(slope) or not np.isfinite(intercept):
        raise InputError(f"scl_slope {slope} and scl_inter {intercept} must be finite", path=path, code="corrupt")
    return scaled(data, slope, intercept)


def _scales(header: NiftiHeader) -> bool:
    """Whether there is a slope: zero and NaN say that there is none."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    return slope != 0 and not np.isnan(slope) and (slope, intercept) != (1.0, 0.0)
