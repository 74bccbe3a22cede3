"""Every DICOM volume among many files, with the files that are broken and the objects that are no images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

from medssl.errors import InputError, MedsslError, from_os_error
from medssl.io.dicom.files import dicom_files
from medssl.io.dicom.frames import frames_in
from medssl.io.dicom.split import split
from medssl.io.dicom.volumes import Series, choose
from medssl.io.files import open_regular
from medssl.io.folder import is_dicom

_LOCK = Lock()
_SERIES_UID = b"\x20\x00\x0e\x00"
_HEAD = 1 << 16


@dataclass(frozen=True)
class Survey:
    """What DICOM files hold.

    Args:
        series: volumes, in the order of their files.
        broken: for each series its refused files.
        lost: refused files of series without any good file, together by SeriesInstanceUID.
        strays: refused files that do not say whose they are.
        objects: non-image objects, each with what it is.
    """

    series: tuple[Series, ...]
    broken: dict[Series, tuple[MedsslError, ...]]
    lost: tuple[tuple[MedsslError, ...], ...]
    strays: tuple[MedsslError, ...]
    objects: tuple[tuple[Path, str], ...]


def survey(files: Sequence[Path], folder: Path, progress: Callable[[int, int, str], None] | None = None) -> Survey:
    """Sort DICOM files into volumes; a broken file spoils its own series only.

    Args:
        files: in a stable order.
        folder: what the user gave.
        progress: called with files done, files in all, and what is being done.
    """
    errors: list[MedsslError] = []
    found = frames_in(files, folder, errors, progress)
    series = tuple(Series(number, tuple(group), folder) for number, group in enumerate(split(found.frames), 1))
    near: dict[tuple[str, Path], list[Series]] = {}
    for volume in series:
        for place in {frame.path.parent for frame in volume.frames}:
            near.setdefault((volume.series_uid, place), []).append(volume)
    broken: dict[Series, tuple[MedsslError, ...]] = {}
    lost: dict[str, tuple[MedsslError, ...]] = {}
    for error in errors:
        path = Path(error.path or folder)
        uid = salvaged_uid(path) if error.path else ""
        # of several volumes under one UID it cannot be said which one lacks the slice; a copy elsewhere lacks none
        spoiled = near.get((uid, path.parent), []) if uid else []
        for one in spoiled:
            broken[one] = (*broken.get(one, ()), error)
        if not spoiled:
            lost[uid] = (*lost.get(uid, ()), error)
    strays = lost.pop("", ())
    return Survey(series, broken, tuple(lost.values()), strays, found.others)


def own_files(folder: Path) -> list[Path]:
    """A folder's own DICOM files, or, where it has none itself, those of the folders below it."""
    own = list(dicom_files(folder, below=False))
    return own if any(is_dicom(path) for path in own) else list(dicom_files(folder))


def one_series(path: Path, series: str) -> Series:
    """The volume of a folder or file that a manifest's row names.

    Args:
        path: a folder, whose own files count where it has any, or one multi-frame file.
        series: the volume's key, or its SeriesInstanceUID or the keyed hash of that where it holds one volume.

    Raises:
        InputError: there is no such volume, or a file that is or may be its own is broken.
    """
    files = tuple(own_files(path)) if path.is_dir() else (path,)
    with _LOCK:
        found = _kept(path, files, _stamps(files))
    # a file of which nobody can say whose it is may be a slice of any volume there
    if not found.series and not found.lost and not found.strays:
        kind = found.objects[0][1] if found.objects else "no DICOM image"
        raise InputError(f"this is {kind}, expected a volume", path=path, code="not-a-volume")
    if not found.series:
        raise next(error for errors in (*found.lost, found.strays) for error in errors)
    one = choose(list(found.series), series, path) if len(found.series) > 1 else found.series[0]
    for error in (*found.broken.get(one, ()), *found.strays):
        raise error
    return one


@lru_cache(maxsize=2)
def _kept(path: Path, files: tuple[Path, ...], stamps: tuple[tuple[int, ...], ...]) -> Survey:
    """A survey, kept while no file is touched: the rows of one folder are read one after the other."""
    return survey(files, path)


def _stamps(files: Sequence[Path]) -> tuple[tuple[int, ...], ...]:
    try:
        found = [path.stat() for path in files]
    except OSError as error:
        raise from_os_error(error) from error
    return tuple((one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino) for one in found)


def salvaged_uid(path: Path) -> str:
    """SeriesInstanceUID out of the first bytes of a file that cannot be parsed; empty where it is not there."""
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD)
    except (InputError, OSError):
        return ""
    at = head.find(_SERIES_UID)
    if at < 0:
        return ""
    explicit = head[at + 4 : at + 6] == b"UI"
    size = int.from_bytes(head[at + 6 : at + 8] if explicit else head[at + 4 : at + 8], "little")
    uid = head[at + 8 : at + 8 + size].rstrip(b"\0 ")
    return uid.decode("ascii") if 0 < size <= 64 and len(uid) + 1 >= size and uid.replace(b".", b"").isdigit() else ""
