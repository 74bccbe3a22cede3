"""Scan files written byte by byte, without any reader's or writer's help, and how they are asked for."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medssl.commands.convert import convert
from medssl.errors import CODES, MedsslError

SHAPE = (6, 5, 4)
CANARIES = ("CANARY^PHI", "CANARYPHI", "CANARY-MRN-000451", "CANARY HOSPITAL", "19010203", "CANARY-ACC-77")

_NIFTI1 = {
    # name: (offset, struct code)
    "sizeof_hdr": (0, "i"),
    "dim": (40, "8h"),
    "intent_code": (68, "h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "B"),
    "descrip": (148, "80s"),
    "aux_file": (228, "24s"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quatern": (256, "3f"),
    "qoffset": (268, "3f"),
    "srow": (280, "12f"),
    "intent_name": (328, "16s"),
    "magic": (344, "4s"),
    "data_type": (4, "10s"),
    "db_name": (14, "18s"),
}
_NIFTI2 = {
    "sizeof_hdr": (0, "i"),
    "magic": (4, "8s"),
    "datatype": (12, "h"),
    "bitpix": (14, "h"),
    "dim": (16, "8q"),
    "pixdim": (104, "8d"),
    "vox_offset": (168, "q"),
    "scl_slope": (176, "d"),
    "scl_inter": (184, "d"),
    "qform_code": (344, "i"),
    "sform_code": (348, "i"),
    "quatern": (352, "3d"),
    "qoffset": (376, "3d"),
    "srow": (400, "12d"),
    "xyzt_units": (500, "i"),
    "intent_code": (504, "i"),
}
CODES_OF = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
SFORM = np.array([[1.5, 0, 0, -15], [0, 1.2, 0, 20], [0, 0, 3.0, -30], [0, 0, 0, 1]])


def marked(shape: tuple[int, ...] = SHAPE, kind: Any = "i2") -> np.ndarray:
    """Voxels that are all different."""
    return np.arange(int(np.prod(shape))).reshape(shape).astype(kind)


def nifti(
    data: np.ndarray | None = None,
    *,
    order: str = "<",
    version: int = 1,
    extension: bytes = b"",
    body: bytes | None = None,
    **fields: Any,
) -> bytes:
    """The bytes of a NIfTI file with an sform, any field replaced."""
    data = marked() if data is None else data
    kind = data.dtype.newbyteorder("=").str[1:]
    start = (352 if version == 1 else 544) + len(extension)
    values: dict[str, Any] = {
        "sizeof_hdr": 348 if version == 1 else 540,
        "dim": [data.ndim, *data.shape, *[1] * (7 - data.ndim)],
        "datatype": CODES_OF.get(kind, 0),
        "bitpix": data.dtype.itemsize * 8,
        "pixdim": [1, 1.5, 1.2, 3.0, 1, 1, 1, 1],
        "vox_offset": start,
        "xyzt_units": 2,
        "sform_code": 1,
        "srow": SFORM[:3].ravel(),
        "magic": b"n+1\0" if version == 1 else b"n+2\0\r\n\x1a\n",
        **fields,
    }
    out = bytearray(348 if version == 1 else 540)
    for name, value in values.items():
        at, code = (_NIFTI1 if version == 1 else _NIFTI2)[name]
        struct.pack_into(order + code, out, at, *(value if isinstance(value, list | tuple | np.ndarray) else [value]))
    voxels = data.astype(data.dtype.newbyteorder(order)).tobytes(order="F") if body is None else body
    if values["magic"][:2] == b"ni":
        return bytes(out)
    return bytes(out) + (b"\1\0\0\0" if extension else b"\0\0\0\0") + extension + voxels


def nifti_extension(size: int, text: bytes, order: str = "<", code: int = 6) -> bytes:
    """A header extension that claims ``size`` bytes."""
    return struct.pack(order + "2i", size, code) + text.ljust(max(size - 8, 0) if size < 4096 else 8, b"\0")


def nrrd(body: bytes | None = None, after: str = "", magic: str = "NRRD0004", **fields: str | None) -> bytes:
    """The bytes of an NRRD file; a field of None is left out."""
    base: dict[str, str | None] = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "6 5 4",
        "space directions": "(1.5,0,0) (0,1.2,0) (0,0,3)",
        "space origin": "(15,-20,-30)",
        "endian": "little",
        "encoding": "raw",
    }
    base.update({name.replace("_", " "): value for name, value in fields.items()})
    lines = [magic, *(f"{name}: {value}" for name, value in base.items() if value is not None)]
    return ("\n".join(lines) + after + "\n\n").encode() + (raw() if body is None else body)


def mha(body: bytes | None = None, **fields: str | None) -> bytes:
    """The bytes of a MetaImage file; a field of None is left out."""
    base: dict[str, str | None] = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "15 -20 -30",
        "ElementSpacing": "1.5 1.2 3",
        "DimSize": "6 5 4",
        "ElementType": "MET_SHORT",
    }
    base.update(fields)
    data_file = base.pop("ElementDataFile", "LOCAL")
    lines = [*(f"{name} = {value}" for name, value in base.items() if value is not None)]
    return "\n".join([*lines, f"ElementDataFile = {data_file}\n"]).encode() + (raw() if body is None else body)


LPS = np.array([[-1.5, 0, 0, -15], [0, -1.2, 0, 20], [0, 0, 3.0, -30], [0, 0, 0, 1]])
"""The affine of ``nrrd()`` and ``mha()``."""


def raw(kind: str = "<i2") -> bytes:
    """The marked voxels as they lie in a file, fastest axis first."""
    return marked(kind=kind).tobytes(order="F")


def put(path: Path, content: bytes) -> Path:
    """Write a file, gzip-compressed where its name says so."""
    path.write_bytes(gzip.compress(content, 6, mtime=0) if path.name.lower().endswith(".gz") else content)
    return path


def converted(path: Path, **options: Any) -> Mapping[str, Any]:
    """``data``, ``affine`` and ``flags`` of what ``medssl convert`` makes of a file."""
    out = path.parent / "converted.npz"
    convert(path, out, **options)
    with np.load(out, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    out.unlink()
    return found


def same(path: Path, data: np.ndarray, affine: np.ndarray, flags: set[str] | None = None, **options: Any) -> None:
    """Hold what a file becomes against exact voxels, affine and flags."""
    found = converted(path, **options)
    np.testing.assert_array_equal(found["data"], data)
    np.testing.assert_allclose(found["affine"], affine, rtol=1e-6, atol=1e-5)
    if flags is not None:
        assert set(found["flags"].tolist()) == flags


def refused(path: Path, says: str, code: str | None = None, **options: Any) -> str:
    """The one line with which a file is refused; it names the file, its code is documented, nothing is left."""
    out = path.parent / "refused.npz"
    with pytest.raises(MedsslError, match=says) as caught:
        convert(path, out, **options)
    line = caught.value.line()
    assert not out.exists()
    assert line.isprintable()
    assert caught.value.path is not None
    assert caught.value.code in CODES
    assert caught.value.code != "internal", repr(caught.value.__cause__)
    assert caught.value.code == (code or caught.value.code)
    assert not any(canary in line.replace(str(path.parent), "") for canary in CANARIES)
    return line
