"""What a folder holds: scan files by suffix, and folders of DICOM slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medssl.errors import from_os_error
from medssl.io.dicom.files import looks_like_a_slice
from medssl.io.sniff import content_kind, suffix_of

SCAN_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".npz")
"""A pair is found by its header; raw data beside a header are not scans of their own."""


def scan_files(folder: Path) -> Iterator[Path]:
    """Scan files in a folder and its subfolders, in a stable order; links to folders are not followed."""
    for entry in entries(folder):
        if entry.is_dir():
            if not entry.is_symlink() and not entry.name.startswith("."):
                yield from scan_files(entry)
        elif suffix_of(entry) in SCAN_SUFFIXES and not entry.name.startswith("."):
            yield entry


def dicom_folders(folder: Path) -> Iterator[Path]:
    """Folders that hold DICOM files themselves, the given one too."""
    if any(looks_like_a_slice(entry) and is_dicom(entry) for entry in entries(folder)):
        yield folder
    for entry in entries(folder):
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
            yield from dicom_folders(entry)


def is_dicom(path: Path) -> bool:
    """Whether a regular file begins as DICOM does."""
    return path.is_file() and content_kind(path) == "dicom"


def entries(folder: Path) -> list[Path]:
    """A folder's entries by name."""
    try:
        return sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise from_os_error(error, folder) from error
