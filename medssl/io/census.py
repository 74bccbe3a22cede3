"""What a folder holds, told apart before anything is read: scan files, DICOM files, and what is neither."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medssl.errors import InputError, MedsslError, from_os_error
from medssl.io.dicom.files import looks_like_a_slice
from medssl.io.files import refuse_irregular
from medssl.io.folder import SCAN_SUFFIXES
from medssl.io.sniff import KINDS, content_kind, suffix_of

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_DATA_SUFFIXES = (".img", ".img.gz", ".raw", ".zraw", ".raw.gz")


@dataclass
class Census:
    """The files of a folder and its subfolders, in a stable order.

    Args:
        scans: files whose suffix names a volume format, DICOM apart.
        dicom: files that are DICOM, or lie among DICOM files and claim nothing else.
        others: what is neither, with what it is.
        broken: what should be a scan but cannot be opened.
    """

    scans: list[Path] = field(default_factory=list)
    dicom: list[Path] = field(default_factory=list)
    others: list[tuple[Path, str]] = field(default_factory=list)
    broken: list[MedsslError] = field(default_factory=list)


def take_census(folder: Path) -> Census:
    """Look at every file of a folder; links to folders are not followed, hidden ones not entered.

    Raises:
        InputError: the folder itself cannot be listed.
    """
    out = Census()
    for inner, names in _folders(folder, out):
        _look(inner, names, out)
    return out


def _folders(folder: Path, out: Census) -> Iterator[tuple[Path, list[str]]]:
    """Folders with their files' names, each folder before those below it."""
    waiting = [folder]
    while waiting:
        inner = waiting.pop()
        files, below = [], []
        try:
            with os.scandir(inner) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                    else:
                        files.append(entry.name)
        except OSError as error:
            if inner == folder:
                raise from_os_error(error, folder) from error
            out.broken.append(from_os_error(error, inner))
            continue
        waiting += [
            inner / name
            for name in sorted(below, reverse=True)
            if not name.startswith(".") and name.lower() != "__macosx"
        ]
        yield inner, sorted(files)


def _look(folder: Path, names: list[str], out: Census) -> None:
    candidates: list[tuple[Path, str]] = []
    for name in names:
        path = folder / name
        kind = _kind(path, out)
        if kind == "scan":
            out.scans.append(path)
        elif kind == "candidate":
            try:
                candidates.append((path, content_kind(path)))
            except MedsslError as error:
                out.broken.append(error)
        elif kind:
            out.others.append((path, kind))
    among_dicom = any(kind == "dicom" for _, kind in candidates)
    for path, kind in candidates:
        # among DICOM slices an empty or unreadable file is a slice that is broken, not another kind of file
        if among_dicom or kind == "dicom" or suffix_of(path) in _DICOM_SUFFIXES:
            out.dicom.append(path)
        else:
            out.others.append((path, KINDS[kind]))


def _kind(path: Path, out: Census) -> str:
    """``scan``, ``candidate`` (for DICOM), a plain phrase for anything else, or nothing where it is told elsewhere."""
    suffix = suffix_of(path)
    wanted = suffix in SCAN_SUFFIXES or suffix in _DICOM_SUFFIXES
    if path.name.startswith("."):
        return "a hidden file"
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return "a link to a folder, which is not followed"
        refuse_irregular(path, mode)
    except InputError as error:
        if wanted:
            out.broken.append(error)
        return "" if wanted else error.reason.rpartition("got ")[2]
    except OSError as error:
        broken_link = error.errno in (errno.ENOENT, errno.ELOOP)
        refusal = InputError("a link that leads nowhere", path=path, code="missing")
        if wanted or not broken_link:
            out.broken.append(refusal if broken_link else from_os_error(error, path))
            return ""
        return "a link that leads nowhere"
    if suffix in SCAN_SUFFIXES:
        return "scan"
    if looks_like_a_slice(path) and suffix not in _DATA_SUFFIXES:
        return "candidate"
    return "data of a header beside it" if suffix in _DATA_SUFFIXES else f"a {suffix} file" if suffix else "not a scan"
