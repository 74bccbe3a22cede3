"""A file's geometry from its header alone, whatever its format."""

from __future__ import annotations

from pathlib import Path

from medssl.errors import MedsslError
from medssl.io.description import Description
from medssl.io.guard import guarded
from medssl.io.sniff import sniff, suffix_of


def describe(path: Path, prefer: str | None = None) -> Description:
    """What a scan file's header says.

    An ``.npz`` has its affine behind the voxels and is read whole.

    Raises:
        MedsslError: the header is refused, for the same reasons as in reading.
    """
    return guarded(lambda: _by_kind(path, kind_of(path), prefer), path)


def kind_of(path: Path) -> str:
    """The format of a scan file; a pair's ``.img`` is bare numbers, its ``.hdr`` tells what it is."""
    return "nifti-pair" if suffix_of(path) in (".img", ".img.gz") else sniff(path)


def _by_kind(path: Path, kind: str, prefer: str | None) -> Description:
    if kind == "nrrd":
        from medssl.io.formats.nrrd import describe_nrrd

        return describe_nrrd(path)
    if kind == "metaimage":
        from medssl.io.formats.metaimage import describe_metaimage

        return describe_metaimage(path)
    if kind == "npz":
        from medssl.io.formats.numpy_file import read_npz

        scan = read_npz(path)
        return Description(scan.shape, len(scan.data), 1, str(scan.data.dtype), scan.affine, scan.flags)
    if kind == "dicom":
        raise MedsslError("a DICOM file is described with its series", path=path)
    from medssl.io.formats.nifti import describe_nifti

    return describe_nifti(path, prefer)
