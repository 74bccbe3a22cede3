"""MetaImage (MHA, MHD): every field that matters is read here, so that the affine stays exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.description import Description
from medssl.io.files import beside, check_size, open_regular
from medssl.io.formats.data_files import data_files
from medssl.io.formats.detached import Payload, spatial_channels
from medssl.io.formats.nifti_affine import is_sheared
from medssl.volume import LPS_TO_RAS, Volume

_HEADER_LIMIT = 1 << 20
_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}

_FIELDS = {
    "objecttype",
    "ndims",
    "dimsize",
    "elementspacing",
    "elementsize",
    "elementtype",
    "elementnumberofchannels",
    "offset",
    "position",
    "origin",
    "transformmatrix",
    "rotation",
    "orientation",
    "compresseddata",
    "binarydata",
    "binarydatabyteordermsb",
    "elementbyteordermsb",
    "headersize",
}
"""What decides over voxels or geometry, and so must not be said twice in different ways."""

Fields = dict[str, str]


def read_metaimage(path: Path, *, volume: int | None = None) -> Volume:
    """Read ``.mha`` or ``.mhd``.

    Args:
        path: the header, with the voxels in it or beside it.
        volume: which one of a 4D file.

    Raises:
        InputError: naming the field that is missing or senseless.
        IntegrityError: the data file lies outside the header's folder.
    """
    fields, offset = _fields(path)
    if fields.get("objecttype", "Image").lower() != "image":
        raise InputError("its ObjectType is not Image: not an image volume", path=path, code="not-a-volume")
    shape, ndims = _whole(fields, "dimsize", path), _whole(fields, "ndims", path)[0]
    if len(shape) != ndims:
        raise InputError(
            f"NDims is {ndims}, but DimSize has {len(shape)} numbers: the dimensions disagree",
            path=path,
            code="corrupt",
        )
    check_size(shape, 1, path)
    if not 3 <= ndims <= 4 or min(shape[:3]) < 2:
        raise InputError(f"{ndims}D image of size {shape}, expected a volume", path=path, code="not-a-volume")
    affine, flags = _geometry(fields, ndims, path)
    channels = _whole(fields, "elementnumberofchannels", path, 1)[0]
    if channels > 1 and ndims > 3:
        raise InputError(f"{ndims}D image of {channels} channels", path=path, code="several-volumes")
    file_shape = (channels, *shape) if channels != 1 else shape
    payload = _payload(fields, file_shape, offset, path)
    _check_packed_size(fields, payload)
    values = payload.voxels()
    space = (1, 2, 3) if channels != 1 else (0, 1, 2)
    data = spatial_channels(values, space, channels != 1, volume, path)
    return Volume(data, affine, flags)


def describe_metaimage(path: Path) -> Description:
    """What the header says; no voxel is read."""
    fields, offset = _fields(path)
    shape, ndims = _whole(fields, "dimsize", path), _whole(fields, "ndims", path)[0]
    if len(shape) != ndims or not 3 <= ndims <= 4 or min(shape) < 1:
        raise InputError(f"{ndims}D image of size {shape}, expected a volume", path=path, code="not-a-volume")
    affine, flags = _geometry(fields, ndims, path)
    channels = _whole(fields, "elementnumberofchannels", path, 1)[0]
    kind = _payload(fields, shape, offset, path).kind.newbyteorder("=").name
    volumes = shape[3] if ndims == 4 else 1
    return Description((shape[0], shape[1], shape[2]), channels, volumes, kind, affine, flags)


def _fields(path: Path) -> tuple[Fields, int]:
    with open_regular(path) as file:
        head = file.read(_HEADER_LIMIT)
    fields: Fields = {}
    at = 0
    while at < len(head):
        end = head.find(b"\n", at)
        end = len(head) if end < 0 else end
        name, equals, value = head[at:end].decode("utf-8", "surrogateescape").partition("=")
        at = end + 1
        name = name.strip().lower()
        if not equals and not name and end < len(head):
            continue
        if not equals:
            break
        if name in fields and fields[name] != value.strip() and name in _FIELDS:
            raise InputError(f"corrupt header: the field {name} stands there twice", path=path, code="corrupt")
        fields[name] = value.strip()
        if name == "elementdatafile":
            if value.upper().split()[:1] == ["LIST"]:
                fields["data list"] = head[at:].decode("utf-8", "surrogateescape")
            return fields, at
    raise InputError("truncated: the header has no ElementDataFile", path=path, code="truncated")


def _numbers(fields: Fields, names: tuple[str, ...], path: Path, default: list[float] | None = None) -> list[float]:
    """The first of several names of a field, as numbers."""
    text = next((fields[name] for name in names if name in fields), None)
    if text is None:
        if default is None:
            raise InputError(f"the header has no field {names[0]}", path=path, code="corrupt")
        return default
    try:
        numbers = [float(n) for n in text.split()]
    except ValueError as error:
        raise InputError(f"the field {names[0]} must hold numbers", path=path, code="corrupt") from error
    if not numbers or not np.isfinite(numbers).all():
        raise InputError(f"the field {names[0]} must hold finite numbers", path=path, code="geometry")
    return numbers


def _whole(fields: Fields, name: str, path: Path, default: int | None = None) -> tuple[int, ...]:
    """A field of whole numbers."""
    numbers = _numbers(fields, (name,), path, None if default is None else [float(default)])
    if any(number != int(number) for number in numbers):
        raise InputError(f"corrupt header: the field {name} must hold whole numbers", path=path, code="corrupt")
    return tuple(int(number) for number in numbers)


def _geometry(fields: Fields, ndims: int, path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    flags: tuple[str, ...] = ()
    if not {"elementspacing", "elementsize"} & fields.keys():
        raise InputError("the header has no ElementSpacing: the spacing is missing", path=path, code="geometry")
    spacing = _numbers(fields, ("elementspacing", "elementsize"), path)
    origin = _numbers(fields, ("offset", "position", "origin"), path, [0.0] * ndims)
    names = ("transformmatrix", "rotation", "orientation")
    if not set(names) & fields.keys():
        flags = ("no_orientation",)
    matrix = _numbers(fields, names, path, list(np.eye(ndims).ravel()))
    if len(spacing) != ndims or len(origin) != ndims or len(matrix) != ndims * ndims:
        raise InputError(
            f"ElementSpacing, Offset and TransformMatrix must have {ndims}, {ndims} and {ndims * ndims} numbers, "
            f"got {len(spacing)}, {len(origin)} and {len(matrix)}",
            path=path,
            code="geometry",
        )
    if not {"offset", "position", "origin"} & fields.keys():
        flags = (*flags, "no_origin")
    if min(spacing[:3]) <= 0:
        raise InputError(f"ElementSpacing must be positive, got {spacing}", path=path, code="geometry")
    # a row of the file's matrix is the direction of one voxel axis
    directions = np.reshape(matrix, (ndims, ndims))[:3, :3].T
    if np.abs(np.linalg.norm(directions, axis=0) - 1).max() > 1e-3:
        raise InputError("TransformMatrix must hold directions of length 1", path=path, code="geometry")
    affine = np.eye(4)
    affine[:3, :3] = directions * np.asarray(spacing[:3])
    affine[:3, 3] = origin[:3]
    if abs(np.linalg.det(directions)) < 1e-6:
        raise InputError("TransformMatrix has directions that are not independent", path=path, code="geometry")
    affine = LPS_TO_RAS @ affine
    return affine, (*flags, "sheared") if is_sheared(affine) else flags


def _payload(fields: Fields, shape: tuple[int, ...], offset: int, path: Path) -> Payload:
    slope, offset_by = (
        _numbers(fields, (f"elementtointensityfunction{word}",), path, [default])[0]
        for word, default in (("slope", 1.0), ("offset", 0.0))
    )
    if (slope, offset_by) != (1.0, 0.0):
        raise InputError(
            "ElementToIntensityFunctionSlope and Offset, which scale the values, are not read", path=path, code="format"
        )
    name = fields.get("elementtype", "").upper()
    if name not in _TYPES:
        raise InputError(f"voxels of type {name or '(none)'} are not read", path=path, code="not-a-volume")
    big = _true(fields, "binarydatabyteordermsb") or _true(fields, "elementbyteordermsb")
    kind = np.dtype(_TYPES[name]).newbyteorder(">" if big else "<")
    encoding = "zlib" if _true(fields, "compresseddata") else "raw"
    if "binarydata" in fields and not _true(fields, "binarydata"):
        encoding = "text"
    skip = _whole(fields, "headersize", path, 0)[0]
    named = fields["elementdatafile"]
    detached = () if named.upper() == "LOCAL" else data_files(named, fields.get("data list", ""), path)
    return Payload(path, offset, detached, encoding, kind, shape, max(skip, -1))


def _check_packed_size(fields: Fields, payload: Payload) -> None:
    """Hold CompressedDataSize, where it stands, to the bytes that are there: other readers take so many."""
    path = payload.header
    declared = _whole(fields, "compresseddatasize", path, 0)[0]
    if payload.encoding != "zlib" or declared <= 0 or payload.skip or len(payload.detached) > 1:
        return
    file = beside(path, payload.detached[0]) if payload.detached else path
    there = file.stat().st_size - (0 if payload.detached else payload.offset)
    if there != declared:
        what = "truncated" if there < declared else "corrupt"
        raise InputError(
            f"{what}: {there} bytes of compressed data, CompressedDataSize is {declared}", path=file, code=what
        )


def _true(fields: Fields, name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "1")
