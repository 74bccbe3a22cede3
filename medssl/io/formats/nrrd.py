"""NRRD: every field that matters is read here, so that shear and spaces other than LPS stay exact."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.description import Description
from medssl.io.files import check_size, open_regular
from medssl.io.formats.data_files import data_files
from medssl.io.formats.detached import Payload, spatial_channels
from medssl.io.formats.nifti_affine import is_sheared
from medssl.volume import LPS_TO_RAS, Volume

_HEADER_LIMIT = 1 << 20
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_ENCODINGS |= {"text": "text", "txt": "text", "ascii": "text", "hex": "hex"}
_SIGNS = {"right": 1, "left": -1, "anterior": 1, "posterior": -1, "superior": 1, "inferior": -1}
_SHORT = {"RAS": "right-anterior-superior", "LAS": "left-anterior-superior", "LPS": "left-posterior-superior"}
_UNITS = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001}
_UNITS |= {"micron": 0.001, "microns": 0.001, "micrometer": 0.001, "micrometers": 0.001, "meter": 1000.0}
_VECTORS = {"vector", "2-vector", "3-vector", "4-vector", "covariant-vector", "list", "3-gradient", "3-normal"}
_COLOURS = {"3-color", "4-color", "rgb-color", "rgba-color", "hsv-color", "xyz-color"}
_NOT_SPATIAL = _VECTORS | _COLOURS | {"complex", "time", "scalar", "stub"}
_NAMELESS = {"scanner-xyz", "3d-right-handed", ""}
"""Spaces that do not say which side is left; as ITK does, they count as LPS, with a flag."""

_OTHER_NAMES = {"datafile": "data file", "byteskip": "byte skip", "lineskip": "line skip", "centers": "centerings"}

Fields = dict[str, str]


def read_nrrd(path: Path, *, volume: int | None = None) -> Volume:
    """Read ``.nrrd`` or ``.nhdr``.

    Args:
        path: the header, with the voxels in it or beside it.
        volume: which one, where an axis is not spatial (time, list).

    Raises:
        InputError: naming the field that is missing or senseless.
        IntegrityError: the data file lies outside the header's folder.
    """
    fields, offset = _fields(path)
    shape = _sizes(fields, path)
    affine, space, flags = _geometry(fields, shape, path)
    if any(shape[axis] < 2 for axis in space):
        raise InputError(f"2D image: its size is {shape}, expected a volume", path=path, code="not-a-volume")
    kinds = _kinds(fields, shape)
    rest = [axis for axis in range(len(shape)) if axis not in space]
    for axis in rest:
        if kinds[axis] in _COLOURS or kinds[axis] == "complex":
            what = "complex" if kinds[axis] == "complex" else "colour (RGB)"
            raise InputError(f"{what} voxels are not read", path=path, code="not-a-volume")
    values = _payload(fields, shape, offset, path).voxels()
    vector = len(rest) == 1 and kinds[rest[0]] in _VECTORS
    data = spatial_channels(values, space, vector, volume, path)
    return Volume(data, affine, flags)


def describe_nrrd(path: Path) -> Description:
    """What the header says; no voxel is read."""
    fields, offset = _fields(path)
    shape = _sizes(fields, path)
    affine, space, flags = _geometry(fields, shape, path)
    kind = _payload(fields, shape, offset, path).kind.newbyteorder("=").name
    i, j, k = (shape[axis] for axis in space)
    rest = [axis for axis in range(len(shape)) if axis not in space]
    vector = len(rest) == 1 and _kinds(fields, shape)[rest[0]] in _VECTORS
    count = math.prod(shape[axis] for axis in rest)
    return Description((i, j, k), count if vector else 1, 1 if vector else count, kind, affine, flags)


def _fields(path: Path) -> tuple[Fields, int]:
    with open_regular(path) as file:
        head = file.read(_HEADER_LIMIT)
    fields: Fields = {}
    at = head.find(b"\n") + 1
    while True:
        end = head.find(b"\n", at)
        # a detached header may end with the file instead of the empty line
        if fields.get("data file", "").upper().split()[:1] == ["LIST"]:
            fields["data list"] = head[at:].decode("utf-8", "surrogateescape")
            return fields, len(head)
        line = head[at : end if end >= 0 else len(head)].rstrip(b"\r")
        at = end + 1
        if not line or end < 0:
            _field(line, fields, path)
            if end < 0 and "data file" not in fields:
                raise InputError("truncated: the header has no end and no data follow", path=path, code="truncated")
            return fields, at
        _field(line, fields, path)


def _field(line: bytes, fields: Fields, path: Path) -> None:
    text = line.decode("utf-8", "surrogateescape")
    name, colon, value = text.partition(": ")
    # comments and key:=value pairs may hold private text and are never kept
    if not colon or text.startswith("#") or ":=" in name:
        return
    name = name.strip().lower()
    name = _OTHER_NAMES.get(name, name)
    if name in fields and fields[name] != value.strip():
        raise InputError(f"corrupt header: the field {name} stands there twice", path=path, code="corrupt")
    fields[name] = value.strip()


def _kinds(fields: Fields, shape: tuple[int, ...]) -> list[str]:
    """The kind of each axis, empty where the header does not say."""
    kinds = fields.get("kinds", "").lower().split()
    return kinds if len(kinds) == len(shape) else [""] * len(shape)


def _need(fields: Fields, name: str, path: Path) -> str:
    value = fields.get(name, "")
    if not value:
        raise InputError(f"the header has no field {name}", path=path, code="corrupt")
    return value


def _sizes(fields: Fields, path: Path) -> tuple[int, ...]:
    numbers = [_need(fields, "dimension", path), *_need(fields, "sizes", path).split()]
    if not all(re.fullmatch(r"[+-]?\d{1,18}", number) for number in numbers):
        raise InputError("corrupt header: dimension and sizes must be whole numbers", path=path, code="corrupt")
    dimension, *sizes = (int(number) for number in numbers)
    shape = tuple(sizes)
    if len(shape) != dimension:
        raise InputError(f"dimension is {dimension}, but {len(shape)} sizes stand there", path=path, code="corrupt")
    check_size(shape, 1, path)
    if not 3 <= dimension <= 5:
        raise InputError(f"{dimension}D image of size {shape}, expected a volume", path=path, code="not-a-volume")
    return shape


def _payload(fields: Fields, shape: tuple[int, ...], offset: int, path: Path) -> Payload:
    name = _need(fields, "type", path).lower()
    kind = next((np.dtype(code) for code, names in _TYPES.items() if name in names), None)
    if kind is None:
        raise InputError(f"voxels of type {name} are not read", path=path, code="not-a-volume")
    encoding = _ENCODINGS.get(_need(fields, "encoding", path).lower())
    if encoding is None:
        raise InputError(f"the encoding {fields['encoding']} is not read", path=path, code="format")
    if kind.itemsize > 1 and encoding != "text":
        endian = _need(fields, "endian", path).lower()
        if endian not in ("little", "big"):
            raise InputError(f"endian must be little or big, got {endian}", path=path, code="corrupt")
        kind = kind.newbyteorder("<" if endian == "little" else ">")
    named = fields.get("data file")
    detached = data_files(named, fields.get("data list", ""), path) if named else ()
    try:
        skip = int(fields.get("byte skip") or 0)
        lines = int(fields.get("line skip") or 0)
    except ValueError as error:
        raise InputError("line skip and byte skip must be whole numbers", path=path, code="corrupt") from error
    if skip < -1 or lines < 0 or lines > 10_000:
        raise InputError(f"line skip {lines} and byte skip {skip} make no sense", path=path, code="corrupt")
    return Payload(path, offset, detached, encoding, kind, shape, skip, lines)


def _geometry(
    fields: Fields, shape: tuple[int, ...], path: Path
) -> tuple[NDArray[np.float64], tuple[int, ...], tuple[str, ...]]:
    to_ras, flags = _space(fields, path)
    if "space directions" in fields:
        vectors = _vectors(fields["space directions"], len(shape), path)
        space = tuple(axis for axis, vector in enumerate(vectors) if vector is not None)
        columns = [vector for vector in vectors if vector is not None]
    else:
        space, columns = _spacings(fields, shape, path)
        flags = ("no_orientation",)
    if len(space) != 3:
        raise InputError(
            f"expected space directions or spacings for 3 axes, got {len(space)}: the geometry is missing or not 3D",
            path=path,
            code="geometry",
        )
    origin = _vectors(fields["space origin"], 1, path)[0] if "space origin" in fields else None
    if origin is None:
        origin, flags = np.zeros(3), (*flags, "no_origin")
    affine = np.eye(4)
    affine[:3, :3] = np.stack(columns, axis=1)
    affine[:3, 3] = origin
    affine = to_ras @ affine
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError("space directions and origin must be finite and independent", path=path, code="geometry")
    return affine, space, (*flags, "sheared") if is_sheared(affine) else flags


def _spacings(
    fields: Fields, shape: tuple[int, ...], path: Path
) -> tuple[tuple[int, ...], list[NDArray[np.float64] | Any]]:
    """The spatial axes of a header without directions, and their steps."""
    numbers = fields.get("spacings", "").split()
    values = [float(n) if _is_number(n) else math.nan for n in numbers]
    if numbers and len(numbers) != len(shape):
        raise InputError(f"corrupt header: {len(numbers)} spacings for {len(shape)} axes", path=path, code="geometry")
    kinds = _kinds(fields, shape)
    space = tuple(n for n, value in enumerate(values) if math.isfinite(value) and kinds[n] not in _NOT_SPATIAL)
    if any(values[axis] <= 0 for axis in space):
        raise InputError("spacings must be positive", path=path, code="geometry")
    return space, [np.eye(3)[n % 3] * values[axis] for n, axis in enumerate(space)]


def _space(fields: Fields, path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The map from the file's space to RAS millimetres."""
    name = fields.get("space", "")
    words = _SHORT.get(name.upper(), name).lower().replace("-time", "").split("-")
    units = [unit.strip('"').lower() for unit in fields.get("space units", "").split()]
    scale = [_UNITS.get(unit, math.nan) for unit in units[:3]] or [1.0, 1.0, 1.0]
    if len(scale) < 3 or not np.isfinite(scale).all():
        raise InputError("space units are not lengths (mm, cm, um or m)", path=path, code="geometry")
    if len(words) != 3 or any(word not in _SIGNS for word in words):
        if "-".join(words) not in _NAMELESS:
            raise InputError(
                "the space is unknown or left-handed: expected a name such as left-posterior-superior",
                path=path,
                code="geometry",
            )
        return LPS_TO_RAS @ np.diag([*scale, 1.0]), ("no_orientation",)
    pairs = ({"right", "left"}, {"anterior", "posterior"}, {"superior", "inferior"})
    out = np.zeros((4, 4))
    out[3, 3] = 1.0
    for column, word in enumerate(words):
        row = next(n for n, pair in enumerate(pairs) if word in pair)
        out[row, column] = _SIGNS[word] * scale[column]
    if abs(np.linalg.det(out)) < 1e-15:
        raise InputError(f"the space {name} names an axis twice", path=path, code="geometry")
    return out, ()


def _vectors(text: str, count: int, path: Path) -> list[NDArray[np.float64] | None]:
    """``(1,0,0) none (0,1,0)`` → vectors and None."""
    out: list[NDArray[np.float64] | None] = []
    for part in text.replace("none", "(none)").split("("):
        inside = part.partition(")")[0].strip()
        if not inside:
            continue
        numbers = [n.strip() for n in inside.split(",")]
        if inside == "none" or all(n.lower() == "nan" for n in numbers):
            out.append(None)
        elif len(numbers) == 3 and all(_is_number(n) for n in numbers):
            out.append(np.array([float(n) for n in numbers]))
        else:
            raise InputError("space directions and origin must be 3 numbers each", path=path, code="geometry")
    if len(out) != count:
        raise InputError(f"expected {count} vectors in space, got {len(out)}", path=path, code="geometry")
    return out


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
