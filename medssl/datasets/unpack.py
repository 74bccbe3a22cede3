"""Wanted members out of an archive that is not trusted (promise P46)."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medssl.errors import IntegrityError, from_os_error

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most.

    Args:
        members: number of members.
        total_bytes: size of all members together, unpacked.
        ratio: unpacked size over packed size.
    """

    members: int = 20_000
    total_bytes: int = 2 << 30
    ratio: float = 200.0


DEFAULT_LIMITS = Limits()


def unpack(archive: Path, wanted: Mapping[str, str], folder: Path, limits: Limits = DEFAULT_LIMITS) -> list[Path]:
    """Unpack the wanted members of a ``.tar.gz``, ``.zip`` or ``.whl``; nothing else is written.

    Every member is looked at before anything is kept: the archive is refused if one has an absolute name, a ``..``,
    a backslash or a control character, is a link or a device, stands twice (upper and lower case alike), or if
    the archive goes over a limit. The files appear in ``folder`` together, at the end.

    Args:
        archive: the file.
        wanted: member name → path below ``folder``.
        folder: does not exist yet.
        limits: see ``Limits``.

    Returns:
        The files written, in the order of ``wanted``.

    Raises:
        IntegrityError: an unsafe, damaged or incomplete archive (code ``archive``), or ``folder`` exists.
    """
    if folder.exists():
        raise IntegrityError("the folder to unpack into exists already", path=folder, code="archive")
    targets = {name: _safe(path, archive) for name, path in wanted.items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            open_archive = _zip if zipfile.is_zipfile(archive) else _tar
            done = open_archive(archive, {name: room / path for name, path in targets.items()}, limits)
            missing = sorted(set(targets) - done)
            if missing:
                raise IntegrityError(
                    f"{len(missing)} members are missing, first {missing[0]}", path=archive, code="archive"
                )
            room.chmod(0o755)
            os.replace(room, folder)
        finally:
            shutil.rmtree(room, ignore_errors=True)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError) as error:
        raise IntegrityError(f"a damaged archive: {error}", path=archive, code="archive") from error
    except OSError as error:
        raise from_os_error(error, error.filename or folder) from error
    return [folder / path for path in targets.values()]


def _safe(name: str, archive: Path) -> str:
    """The name, if it stays below the folder it is put in on every system."""
    parts = name.rstrip("/").split("/")
    bad = (
        not name
        or "\\" in name
        or not name.isprintable()
        or name.startswith("/")
        or re.match(r"^[A-Za-z]:", name) is not None
        or any(part in ("", "..") for part in parts)
    )
    if bad:
        raise IntegrityError(f"a member has an unsafe name: {name!r}", path=archive, code="archive")
    return name


class _Count:
    """Counts members and bytes of one archive and refuses what goes over the limits."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self._archive = archive
        self._limits = limits
        self._allowed = min(limits.total_bytes, int(limits.ratio * max(archive.stat().st_size, 1)))
        self._names: set[str] = set()
        self._total = 0

    def member(self, name: str, size: int) -> None:
        """Take note of one member."""
        key = _safe(name, self._archive).rstrip("/").casefold()
        if key in self._names:
            self.refuse(f"a member stands twice: {name!r}")
        self._names.add(key)
        self._total += size
        if len(self._names) > self._limits.members:
            self.refuse(f"more than {self._limits.members} members")
        if self._total > self._allowed:
            self.refuse(f"unpacks to more than {self._allowed} bytes")

    def refuse(self, reason: str) -> None:
        """Refuse the archive."""
        raise IntegrityError(reason, path=self._archive, code="archive")


def _tar(archive: Path, targets: Mapping[str, Path], limits: Limits) -> set[str]:
    count = _Count(archive, limits)
    done: set[str] = set()
    with _Short(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if not (member.isdir() or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)):
                count.refuse(f"a member is a link, a device or of another special kind: {member.name!r}")
            count.member(member.name, member.size)
            if member.name in targets and not member.isdir():
                source = tar.extractfile(member)
                if source is not None:
                    _copy(source, targets[member.name], member.size, count.refuse)
                    done.add(member.name)
    return done


class _Short(gzip.GzipFile):
    """A gzip stream that refuses to hand out very much at once: headers with a huge declared size end here."""

    def read(self, size: int | None = -1) -> bytes:
        """At most 16 MB."""
        if size is None or size < 0 or size > 16 << 20:
            raise tarfile.ReadError("a header is too long")
        return super().read(size)


def _zip(archive: Path, targets: Mapping[str, Path], limits: Limits) -> set[str]:
    count = _Count(archive, limits)
    done: set[str] = set()
    with zipfile.ZipFile(archive) as source:
        members = source.infolist()
        for member in members:
            # orig_filename is what the file says, before zipfile cuts at a null byte
            count.member(member.orig_filename, member.file_size)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 1:
                count.refuse(f"a member is a link, a device or encrypted: {member.filename!r}")
        for member in members:
            if member.filename in targets and not member.is_dir():
                with source.open(member) as stream:
                    _copy(stream, targets[member.filename], member.file_size, count.refuse)
                done.add(member.filename)
    return done


def _copy(source: IO[bytes], target: Path, size: int, refuse: Callable[[str], None]) -> None:
    """Write exactly ``size`` bytes, to the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with target.open("xb") as out:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > size:
                break
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    if written != size:
        refuse(f"a member has not the size it declares: {target.name!r}")
