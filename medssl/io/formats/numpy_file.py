"""NumPy archives: ``data[i, j, k(, c)]``, ``affine`` to RAS millimetres, ``flags``; never a pickle."""

from __future__ import annotations

import io
import re
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.files import MAX_BYTES, as_stored, check_size, open_regular, read_exactly, read_some
from medssl.io.formats.nifti_affine import is_sheared
from medssl.volume import Volume

_HEADER_LIMIT = 4096
_SMALL = 1 << 20
"""Bytes that an affine or a list of flags may have."""
_FLAG = re.compile(r"[a-z][a-z0-9_]{1,30}(:\d{1,12})?")


def read_npz(path: Path) -> Volume:
    """Read a volume from ``.npz``.

    Raises:
        InputError: a key is missing, an array holds objects, a size is over the limit, or a checksum is wrong.
    """
    with open_regular(path) as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                data = _array(archive, "data", path)
                affine = _array(archive, "affine", path, _SMALL)
                flags = (
                    _array(archive, "flags", path, _SMALL) if "flags.npy" in archive.namelist() else np.array([], "U1")
                )
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, UnicodeDecodeError, struct.error) as error:
            raise InputError(
                "the archive is truncated or its checksum is wrong", path=path, code="truncated"
            ) from error
        except (NotImplementedError, RuntimeError) as error:
            raise InputError("the archive is encrypted or packed in an unknown way", path=path) from error
    if affine.shape != (4, 4) or affine.dtype.kind not in "fiu":
        raise InputError(f"affine must be a 4×4 matrix, got {affine.shape}", path=path, code="geometry")
    if data.dtype.kind == "c":
        raise InputError("complex voxels are not read", path=path, code="not-a-volume")
    if data.dtype.kind not in "biuf" or data.itemsize > 8 or data.ndim not in (3, 4) or min(data.shape[:3]) < 2:
        raise InputError(
            f"data must be numbers [i, j, k(, c)], got {data.dtype} {data.shape}", path=path, code="not-a-volume"
        )
    data = data.astype(np.uint8, copy=False) if data.dtype.kind == "b" else data
    data = data[None] if data.ndim == 3 else np.moveaxis(data, 3, 0)
    # whatever does not look like a flag could be private text
    names = tuple(str(flag) for flag in flags.ravel() if _FLAG.fullmatch(str(flag)))
    if affine[3].tolist() == [0, 0, 0, 1] and abs(np.linalg.det(affine[:3, :3])) > 0 and is_sheared(affine):
        names = tuple(dict.fromkeys((*names, "sheared")))
    return Volume(data, affine.astype(np.float64), names)


def _array(archive: zipfile.ZipFile, key: str, path: Path, most: int = MAX_BYTES) -> NDArray[Any]:
    names = [name for name in archive.namelist() if name == f"{key}.npy"]
    if not any(name.endswith(".npy") for name in archive.namelist()):
        raise InputError("a zip archive of files, expected arrays", path=path, hint="unpack it first")
    if len(names) != 1:
        raise InputError(f"expected one array named {key}, got {len(names)}", path=path)
    info = archive.getinfo(names[0])
    if info.file_size > most + _HEADER_LIMIT:
        raise InputError(
            f"the array {key} has {info.file_size} bytes, a size over the limit", path=path, code="too-large"
        )
    with archive.open(info) as member:
        start = io.BytesIO(member.read(_HEADER_LIMIT))
    try:
        shape, fortran, dtype = _npy_header(start)
    except (ValueError, SyntaxError, EOFError, tokenize.TokenError, RecursionError) as error:
        raise InputError(f"the array {key} has a broken header", path=path, code="corrupt") from error
    if dtype.hasobject:
        raise InputError(f"the array {key} holds Python objects, which are never unpickled", path=path)
    size = check_size(shape or (1,), max(dtype.itemsize, 1), path, info.compress_size) if 0 not in shape else 0
    if info.file_size != size + start.tell():
        raise InputError(
            f"the array {key} has {info.file_size} bytes, its header declares {size + start.tell()}",
            path=path,
            code="corrupt",
        )
    if size == 0:
        return np.empty(shape, dtype=dtype)
    with archive.open(info) as member:
        read_some(member, start.tell(), path)
        # to the end, where zipfile verifies the CRC
        flat = read_exactly(member, size, path)
    return as_stored(flat, dtype).reshape(shape, order="F" if fortran else "C")


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError("unknown version")
