"""The fields of a NIfTI-1 or NIfTI-2 header, out of bytes and into them, as nifti1.h and nifti2.h lay them out."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medssl.volume import spacing_of

SIZES = {1: 348, 2: 540}
"""Version → bytes of the header."""

DATATYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
"""Code → dtype of the voxels that are read and written."""

_LONGEST_AXIS = 32767
"""NIfTI-1 counts voxels along an axis in 16 bits."""

# name: (format and offset in NIfTI-1, format and offset in NIfTI-2); what may hold private text is not read at all
_FIELDS: dict[str, tuple[str, int, str, int]] = {
    "sizeof_hdr": ("i4", 0, "i4", 0),
    "dim": ("(8,)i2", 40, "(8,)i8", 16),
    "intent_code": ("i2", 68, "i4", 504),
    "datatype": ("i2", 70, "i2", 12),
    "bitpix": ("i2", 72, "i2", 14),
    "pixdim": ("(8,)f4", 76, "(8,)f8", 104),
    "vox_offset": ("f4", 108, "i8", 168),
    "scl_slope": ("f4", 112, "f8", 176),
    "scl_inter": ("f4", 116, "f8", 184),
    "xyzt_units": ("u1", 123, "i4", 500),
    "qform_code": ("i2", 252, "i4", 344),
    "sform_code": ("i2", 254, "i4", 348),
    "quatern_b": ("f4", 256, "f8", 352),
    "quatern_c": ("f4", 260, "f8", 360),
    "quatern_d": ("f4", 264, "f8", 368),
    "qoffset_x": ("f4", 268, "f8", 376),
    "qoffset_y": ("f4", 272, "f8", 384),
    "qoffset_z": ("f4", 276, "f8", 392),
    "srow_x": ("(4,)f4", 280, "(4,)f8", 400),
    "srow_y": ("(4,)f4", 296, "(4,)f8", 432),
    "srow_z": ("(4,)f4", 312, "(4,)f8", 464),
    "magic": ("S4", 344, "S8", 4),
}
_MAGIC = {1: b"n+1\0", 2: b"n+2\0\r\n\x1a\n"}
_MILLIMETRES = 2
_VECTOR_INTENT = 1007


class NiftiHeader:
    """A header's fields by their names in the standard.

    Args:
        raw: 348 bytes (NIfTI-1) or 540 (NIfTI-2).
        endianness: ``<`` or ``>``.
    """

    def __init__(self, raw: bytes, endianness: Literal["<", ">"]) -> None:
        self.endianness = endianness
        self._fields = np.frombuffer(raw, dtype=_layout(1 if len(raw) == SIZES[1] else 2, endianness))[0]

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]


def packed_header(shape: tuple[int, ...], dtype: np.dtype[Any], affine: NDArray[np.float64], sheared: bool) -> bytes:
    """The header of a single file and the four bytes that say that no extension follows.

    Args:
        shape: of a volume, or with a fourth axis of 1 and the channels as the fifth.
        dtype: one of ``DATATYPES``.
        affine: 4×4 to RAS millimetres: the sform and, unless ``sheared``, the qform, both with code 1.
        sheared: leave the qform out, which cannot hold shear.

    Returns:
        352 bytes, or 544 where an axis is too long for NIfTI-1.
    """
    version = 2 if max(shape) > _LONGEST_AXIS else 1
    fields = np.zeros(1, dtype=_layout(version, "<"))
    header = fields[0]
    header["sizeof_hdr"], header["magic"] = SIZES[version], _MAGIC[version]
    header["dim"] = [len(shape), *shape, *[1] * (7 - len(shape))]
    code = next(code for code, name in DATATYPES.items() if np.dtype(name) == dtype.newbyteorder("="))
    header["datatype"], header["bitpix"] = code, dtype.itemsize * 8
    header["intent_code"] = _VECTOR_INTENT if len(shape) == 5 else 0
    header["vox_offset"], header["scl_slope"], header["xyzt_units"] = SIZES[version] + 4, 1.0, _MILLIMETRES
    header["pixdim"] = [1.0, *spacing_of(affine), 1.0, 1.0, 1.0, 1.0]
    header["sform_code"] = 1
    header["srow_x"], header["srow_y"], header["srow_z"] = affine[:3]
    if not sheared:
        turn, hand = rotation(affine)
        header["qform_code"], header["pixdim"][0] = 1, hand
        header["quatern_b"], header["quatern_c"], header["quatern_d"] = quaternion(turn)[1:]
        header["qoffset_x"], header["qoffset_y"], header["qoffset_z"] = affine[:3, 3]
    return fields.tobytes() + bytes(4)


def rotation(affine: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The nearest rotation of an affine's axes, and -1 where the third one is turned around for that, else 1."""
    axes = affine[:3, :3] / np.asarray(spacing_of(affine))
    hand = 1.0 if np.linalg.det(axes) > 0 else -1.0
    left, _, right = np.linalg.svd(axes * [1.0, 1.0, hand])
    return left @ right, hand


def quaternion(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit quaternion ``(a, b, c, d)`` of a rotation matrix, ``a`` not negative.

    The quaternion is the eigenvector of the largest eigenvalue of a symmetric 4×4 matrix (Bar-Itzhack 2000), which
    holds for every angle.

    Example:
        >>> quaternion(np.diag([-1.0, -1.0, 1.0])).round(6).tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    ((xx, xy, xz), (yx, yy, yz), (zx, zy, zz)) = turn
    matrix = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, yx + xy, zx + xz],
            [xz - zx, yx + xy, yy - xx - zz, zy + yz],
            [yx - xy, zx + xz, zy + yz, zz - xx - yy],
        ]
    )
    out = np.asarray(np.linalg.eigh(matrix)[1][:, -1], dtype=np.float64)
    # zero is not negative: the sign of a half turn is that of its largest component
    first = out[0] if abs(out[0]) > 1e-9 else out[int(np.argmax(np.abs(out)))]
    return -out + 0.0 if first < 0 else out + 0.0


def _layout(version: int, endianness: Literal["<", ">"]) -> np.dtype[Any]:
    fields = [field[:2] if version == 1 else field[2:] for field in _FIELDS.values()]
    formats = [np.dtype(kind).newbyteorder(endianness) for kind, _ in fields]
    offsets = [offset for _, offset in fields]
    layout: Any = {"names": list(_FIELDS), "formats": formats, "offsets": offsets, "itemsize": SIZES[version]}
    out: np.dtype[Any] = np.dtype(layout)
    return out
