"""What a file is, told by its first bytes; a suffix that says something else is a refusal."""

from __future__ import annotations

import zlib
from pathlib import Path

from medssl.errors import InputError
from medssl.io.files import open_regular

KINDS: dict[str, str] = {
    "nifti": "NIfTI",
    "nifti.gz": "gzip-compressed NIfTI",
    "nifti-pair": "NIfTI header of a pair",
    "nifti-pair.gz": "gzip-compressed NIfTI header of a pair",
    "analyze": "Analyze 7.5",
    "stub": "the beginning of a header, truncated",
    "dicom": "DICOM",
    "nrrd": "NRRD",
    "metaimage": "MetaImage",
    "npz": "zip archive (npz)",
    "npy": "a single NumPy array, which has no geometry",
    "gzip": "gzip data of another kind",
    "gzip-twice": "gzip data compressed twice",
    "gzip-broken": "a corrupt gzip stream that cannot be decompressed",
    "gzip-empty": "empty (0 bytes) once unpacked",
    "gzip-short": "a truncated gzip stream, too short for a header",
    "packed": "an archive or compressed file of another kind (xz, bzip2, zstd, 7z, rar, tar)",
    "minc": "MINC",
    "mgh": "FreeSurfer MGH",
    "mrtrix": "MRtrix",
    "vtk": "VTK",
    "html": "an HTML page",
    "lfs": "a Git LFS pointer, not the file itself",
    "pickle": "a pickle",
    "hdf5": "HDF5",
    "image2d": "a 2D picture",
    "pdf": "a PDF",
    "text": "plain text",
    "empty": "empty (0 bytes)",
    "unknown": "of no known format (no magic number of one)",
}
"""Kind → what it is called in messages."""

_TRUNCATED = ("empty", "stub", "gzip-broken", "gzip-empty", "gzip-short")

SUFFIXES: dict[str, tuple[str, ...]] = {
    ".nii": ("nifti",),
    ".nii.gz": ("nifti.gz",),
    ".hdr": ("nifti-pair",),
    ".hdr.gz": ("nifti-pair.gz",),
    ".nrrd": ("nrrd",),
    ".nhdr": ("nrrd",),
    ".mha": ("metaimage",),
    ".mhd": ("metaimage",),
    ".npz": ("npz",),
    ".dcm": ("dicom",),
    ".dicom": ("dicom",),
    ".ima": ("dicom",),
}
"""Suffix → the kinds it may hold."""

_ENOUGH = 352
"""Bytes that tell a NIfTI file."""

READABLE = frozenset(kind for kinds in SUFFIXES.values() for kind in kinds)


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, ``.nii.gz`` taken as one.

    Example:
        >>> suffix_of(Path("a.b/c.NII.gz")), suffix_of(Path("IM0001"))
        ('.nii.gz', '')
    """
    name = path.name.lower()
    for long in (".nii.gz", ".hdr.gz", ".img.gz"):
        if name.endswith(long):
            return long
    return path.suffix.lower()


def sniff(path: Path) -> str:
    """The kind of a file by its content, after checking that the suffix does not say something else.

    Returns:
        A key of ``KINDS`` that can be read.

    Raises:
        InputError: ``format``, with what the content is and what the suffix says.
    """
    suffix = suffix_of(path)
    kind = content_kind(path)
    allowed = SUFFIXES.get(suffix)
    if allowed is not None and kind not in allowed:
        raise InputError(
            f"the suffix says {KINDS[allowed[0]]}, the content is {KINDS[kind]}: not a {KINDS[allowed[0]]} file",
            path=path,
            code="truncated" if kind in _TRUNCATED else "format",
            hint=_hint(kind),
        )
    if kind not in READABLE:
        code = "truncated" if kind in _TRUNCATED else "format"
        raise InputError(
            f"the content is {KINDS[kind]}, which is not a format read here", path=path, code=code, hint=_hint(kind)
        )
    return kind


def content_kind(path: Path) -> str:
    """The kind of a file by its first bytes alone."""
    with open_regular(path) as stream:
        head = stream.read(1024)
    if head[:2] != b"\x1f\x8b":
        return _kind(head)
    return _gzip_kind(path)


def _gzip_kind(path: Path) -> str:
    """What lies in a gzip file; so little is unpacked that its checksum is not reached, which the reader judges."""
    with open_regular(path) as stream:
        packed = stream.read(1 << 16)
    inner, ended = b"", False
    try:
        while len(inner) < _ENOUGH and packed:
            # a gzip file may have several members, which are read as one
            unpacker = zlib.decompressobj(wbits=31)
            inner += unpacker.decompress(packed, _ENOUGH - len(inner))
            packed, ended = unpacker.unused_data.lstrip(b"\0"), unpacker.eof
    except zlib.error:
        if not inner:
            return "gzip-broken"
    kind = _kind(inner)
    if f"{kind}.gz" in KINDS:
        return f"{kind}.gz"
    if inner[:2] == b"\x1f\x8b":
        return "gzip-twice"
    if not inner and ended:
        return "gzip-empty"
    return "gzip-short" if len(inner) < 348 and not ended else "gzip"


def _kind(head: bytes) -> str:
    if not head:
        return "empty"
    if head[344:348] == b"n+1\0" or head[4:12] == b"n+2\0\r\n\x1a\n":
        return "nifti"
    if head[344:348] == b"ni1\0" or head[4:12] == b"ni2\0\r\n\x1a\n":
        return "nifti-pair"
    if head[128:132] == b"DICM" or bare_dicom(head):
        return "dicom"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "packed"
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
        return "analyze" if len(head) >= 348 else "stub"
    return _text_kind(head)


_MAGIC = {
    b"NRRD000": "nrrd",
    b"PK\x03\x04": "npz",
    b"version https://git-lfs": "lfs",
    b"\x89HDF": "hdf5",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
    b"\x89PNG": "image2d",
    b"\xff\xd8\xff": "image2d",
    b"II*\0": "image2d",
    b"MM\0*": "image2d",
    b"GIF8": "image2d",
    b"%PDF": "pdf",
    b"\x93NUMPY": "npy",
    b"\xfd7zXZ\0": "packed",
    b"BZh": "packed",
    b"\x28\xb5\x2f\xfd": "packed",
    b"7z\xbc\xaf\x27\x1c": "packed",
    b"Rar!": "packed",
    b"CDF\x01": "minc",
    b"CDF\x02": "minc",
    b"mrtrix image": "mrtrix",
    b"# vtk DataFile": "vtk",
    b"\0\0\0\x01\0\0": "mgh",
}


def bare_dicom(head: bytes) -> bool:
    r"""Whether a file begins as DICOM without preamble does: with an element of group 0002 or 0008.

    Example:
        >>> bare_dicom(b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100"), bare_dicom(b"\x08\0\x05\0CS\x0a\0"), bare_dicom(b"x" * 128)
        (True, True, False)
    """
    groups = {b"\x02\0": "little", b"\x08\0": "little", b"\0\x02": "big", b"\0\x08": "big"}
    if head[:2] not in groups or len(head) < 8:
        return False
    order = groups[head[:2]]
    kind, length = head[4:6], head[4:8]
    explicit = kind.isalpha() and kind.isupper()
    # big endian was never written without types
    return explicit or (order == "little" and int.from_bytes(length, "little") < 256)


def _text_kind(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--")):
        return "html"
    if start.startswith((b"objecttype", b"ndims", b"comment =", b"comment=")) and b"=" in start:
        return "metaimage"
    if b"\0" not in head and all(c >= 9 for c in head):
        return "text"
    return "unknown"


def _hint(kind: str) -> str | None:
    return {
        "lfs": "fetch the file with git lfs pull",
        "html": "the download gave an error page; fetch it again",
        "nifti.gz": "rename it to end in .nii.gz",
        "nifti": "rename it to end in .nii",
        "analyze": "Analyze 7.5 does not say which side is left: its orientation is unknown; convert it to NIfTI",
        "gzip-twice": "unpack it once with gunzip",
        "npy": "save data and affine as .npz",
    }.get(kind)
