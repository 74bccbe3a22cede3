"""DICOM files on disk: which of a folder's files they are, and their elements read without trusting them."""

from __future__ import annotations

import logging
import os
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from medssl.errors import InputError, MedsslError, from_os_error
from medssl.io.files import MAX_BYTES, MAX_RATIO, open_regular
from medssl.io.sniff import bare_dicom

_JUNK = ("thumbs.db", "desktop.ini", "dicomdir", "lockfile", "version")
_OTHER_SUFFIXES = frozenset(
    [
        ".txt",
        ".json",
        ".xml",
        ".csv",
        ".tsv",
        ".md",
        ".html",
        ".htm",
        ".pdf",
        ".log",
        ".yaml",
        ".yml",
        ".jpg",
        ".jpeg",
        ".png",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".db",
        ".ini",
        ".zip",
        ".gz",
        ".tar",
        ".nii",
        ".nrrd",
        ".mha",
        ".mhd",
        ".raw",
        ".npy",
        ".npz",
        ".py",
        ".sh",
        ".exe",
        ".inf",
        ".dll",
        ".ico",
        ".css",
        ".js",
        ".doc",
        ".docx",
        ".xls",
        ".xlsx",
    ]
)
_MAGIC = slice(128, 132)
_UNDEFINED = 0xFFFFFFFF
_PIXELS = 0x7FE00010


def dicom_files(folder: Path, below: bool = True) -> Iterator[Path]:
    """Files that could be slices, in a stable order; what systems and people leave about is passed over."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise from_os_error(error, folder) from error
    for entry in entries:
        # links to folders are not followed: they may form a loop; a link to itself is no folder
        if os.path.isdir(entry):
            name = entry.name.lower()
            if below and not entry.is_symlink() and not name.startswith(".") and name != "__macosx":
                yield from dicom_files(folder / entry.name)
        elif _is_slice(folder / entry.name):
            yield folder / entry.name


def looks_like_a_slice(path: Path) -> bool:
    """Whether a file could be a DICOM slice: by its name, or by its content where the name says something else.

    Example:
        >>> [looks_like_a_slice(Path(name)) for name in ("IM0001", "a.dcm", "._a.dcm", "Thumbs.db", "notes.txt")]
        [True, True, False, False, False]
    """
    return _is_slice(path) and not path.is_dir()


def _is_slice(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith(".") or name.endswith(("~", ".bak")) or name in _JUNK:
        return False
    if os.path.splitext(name)[1] not in _OTHER_SUFFIXES:
        return True
    # left out for its name, the last slice of a series would be missed by nobody
    try:
        with open_regular(path) as file:
            return file.read(_MAGIC.stop)[_MAGIC] == b"DICM"
    except (MedsslError, OSError):
        return False


def read_dataset(path: Path, tags: Sequence[str | int], *, stop_before_pixels: bool) -> Any:
    """Some tags of a DICOM file; raises what ``parse`` does."""
    with open_regular(path) as file:
        return parse(file, path, tags, stop_before_pixels=stop_before_pixels)


def parse(file: BinaryIO, path: Path, tags: Sequence[str | int], *, stop_before_pixels: bool) -> Any:
    """Some tags of an open DICOM file by the full parser, every failure named.

    Raises:
        InputError: ``truncated``, ``corrupt`` or ``format``.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    with quiet():
        if not file.read(1):
            raise InputError("truncated: the file is empty", path=path, code="truncated")
        file.seek(0)
        # old scanners and networks leave the preamble out, and the meta information too
        bare = bare_dicom(file.read(_MAGIC.stop))
        file.seek(0)
        try:
            out = pydicom.dcmread(file, stop_before_pixels=stop_before_pixels, specific_tags=list(tags), force=bare)
            _check_there(out, path)
            _complete(out)
            # sequences are parsed when first used: use them now, where a failure is caught
            for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
                out.get(keyword)
            return out
        except MedsslError:
            raise
        except InvalidDicomError as error:
            raise InputError("not a DICOM file", path=path, hint="move it out of the folder") from error
        except EOFError as error:
            raise InputError("truncated: the file ends early", path=path, code="truncated") from error
        except RecursionError as error:
            raise InputError("corrupt: sequences are nested too deep", path=path, code="corrupt") from error
        except OSError as error:
            raise InputError("truncated or unreadable DICOM file", path=path, code="truncated") from error
        except MemoryError:
            raise
        except Exception as error:
            # ValueError, struct.error, zlib.error and whatever else a hostile file provokes in the parser
            raise InputError("corrupt: the DICOM elements cannot be parsed", path=path, code="corrupt") from error


def _check_there(dataset: Any, path: Path) -> None:
    """Hold each value to its declared length: the parser gives what is there of one that the file's end cuts off."""
    for element in dataset.values():
        length, value = getattr(element, "length", 0), element.value
        if isinstance(value, bytes) and len(value) < length < _UNDEFINED:
            what = "pixel data" if element.tag == _PIXELS else "an element"
            raise InputError(f"truncated: {len(value)} bytes of {what}, expected {length}", path=path, code="truncated")


def _complete(dataset: Any) -> None:
    """Say what only the meta information says, and the encoding that was found where there is no such information."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = dataset.file_meta
    if "SOPClassUID" not in dataset and meta.get("MediaStorageSOPClassUID"):
        dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    if not meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


_PARSER_LOG = logging.getLogger("pydicom")


class _Silence:
    """Warnings, and the parser's log, off while anybody asks for it: the filters are the process's, not a thread's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._askers = 0
        self._kept: warnings.catch_warnings[None] | None = None
        self._log_was_off = False

    def begin(self) -> None:
        with self._lock:
            self._askers += 1
            if self._kept is None:
                self._kept = warnings.catch_warnings()
                self._kept.__enter__()
                warnings.simplefilter("ignore")
                self._log_was_off, _PARSER_LOG.disabled = _PARSER_LOG.disabled, True

    def end(self) -> None:
        with self._lock:
            self._askers -= 1
            if self._askers == 0 and self._kept is not None:
                self._kept.__exit__(None, None, None)
                self._kept = None
                _PARSER_LOG.disabled = self._log_was_off


_SILENCE = _Silence()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' warnings: they repeat the values of tags, which may be private."""
    _SILENCE.begin()
    try:
        yield
    finally:
        _SILENCE.end()


def refuse_bomb(file: BinaryIO, path: Path) -> None:
    """Count a deflated file out before the parser unpacks it whole.

    Raises:
        InputError: ``too-large`` or ``truncated``.
    """
    head = file.read(1 << 18)
    if b"1.2.840.10008.1.2.1.99" not in head:
        return
    at = head.find(b"\x02\0\0\0UL")
    start = at + 12 + int.from_bytes(head[at + 8 : at + 12], "little") if at in (0, 132) else 0
    file.seek(start)
    packed = file.read()
    limit = min(MAX_BYTES, MAX_RATIO * max(len(packed), 1 << 16))
    unpacker, total = zlib.decompressobj(-15), 0
    try:
        while packed and not unpacker.eof:
            total += len(unpacker.decompress(packed, 1 << 20))
            packed = unpacker.unconsumed_tail
            if total > limit:
                raise InputError(f"deflated data grow beyond the limit of {limit} bytes", path=path, code="too-large")
    except zlib.error as error:
        raise InputError("the deflated data are corrupt", path=path, code="truncated") from error
