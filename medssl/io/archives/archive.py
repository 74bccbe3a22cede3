"""Archives that are not trusted: every member judged, unpacked aside, then put in place together (promise P46)."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, BinaryIO, cast

from medssl.errors import IntegrityError, ResourceError, UsageError, from_os_error
from medssl.io.archives.members import Limits, Members, safe_name
from medssl.io.files import open_regular

Progress = Callable[[int, int, str], None]
Targets = Mapping[str, str] | None

_CHUNK = 1 << 20
_LONGEST_HEADER = 16 << 20
_CENTRAL_ENTRY = 600
"""Bytes of a zip's directory for a member, with a long name."""

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    gzip.BadGzipFile,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    ValueError,
    OverflowError,
)


def extract(
    archive: Path,
    folder: Path,
    wanted: Targets = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Unpack a ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz``, told apart by content.

    Every member is judged before anything is kept: the archive is refused if one has an absolute name, a ``..``, a
    backslash, a drive or a control character, is a link, a device or encrypted, stands twice (upper and lower case
    and composed letters alike), or if the archive goes over a limit, whatever sizes it declares. Archives inside are
    files like others and never opened. The files appear in ``folder`` together, at the end, with the usual rights.

    Args:
        archive: the file.
        folder: does not exist yet.
        wanted: member name → path below ``folder``; without it every file under its own name.
        limits: see ``Limits``.
        progress: called with members done, members in all (0 where that is not known), and what is being done.

    Returns:
        The files written: in the order of ``wanted``, or of the archive.

    Raises:
        IntegrityError: ``archive``: an unsafe, damaged or incomplete archive.
        UsageError: ``exists``: something stands where ``folder`` should be.
        ResourceError: ``disk``: not enough room.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError("the folder to unpack into exists already", path=folder, code="exists")
    targets = None if wanted is None else {name: safe_name(path, archive) for name, path in wanted.items()}
    try:
        with open_regular(archive) as stream:
            folder.parent.mkdir(parents=True, exist_ok=True)
            room = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}-", dir=folder.parent))
            try:
                done = _unpack(stream, room, targets, Members(archive, limits or Limits()), progress)
                missing = sorted(set(targets or ()) - set(done))
                if missing:
                    reason = f"{len(missing)} members are missing, first {missing[0]}"
                    raise IntegrityError(reason, path=archive, code="archive")
                room.chmod(0o755)
                os.replace(room, folder)
            finally:
                shutil.rmtree(room, ignore_errors=True)
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile) or error.errno is None:
            raise IntegrityError(f"a damaged archive: {error}", path=archive, code="archive") from error
        raise from_os_error(error, error.filename or folder, writing=True) from error
    return [folder / path for path in (targets or done).values()]


def _unpack(
    stream: BinaryIO, room: Path, targets: Targets, members: Members, progress: Progress | None
) -> dict[str, str]:
    """Member name → path of what was written to ``room``."""
    start = stream.read(8)
    stream.seek(0)
    told = progress or (lambda done, total, text: None)
    try:
        if start[:2] == b"PK":
            return _zip(stream, room, targets, members, told)
        return _tar(_Bounded(_plain(stream, start), members), room, targets, members, told)
    except IntegrityError:
        raise
    except _BROKEN as error:
        raise IntegrityError(f"a damaged archive: {error}", path=members.archive, code="archive") from error


def _plain(stream: BinaryIO, start: bytes) -> IO[bytes]:
    if start[:2] == b"\x1f\x8b":
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if start[:3] == b"BZh":
        return bz2.BZ2File(stream)
    if start[:6] == b"\xfd7zXZ\0":
        return lzma.LZMAFile(stream)
    return stream


class _Bounded(io.RawIOBase):
    """A stream that hands out no more than the archive may hold: declared sizes are not believed."""

    def __init__(self, source: IO[bytes], members: Members) -> None:
        super().__init__()
        self._source = source
        self._members = members
        # headers and padding come on top of what the members hold
        self._most = members.allowed + 2048 * members.limits.members + _LONGEST_HEADER

    def read(self, size: int = -1) -> bytes:
        """At most ``_LONGEST_HEADER`` bytes: headers with a huge declared size end here."""
        if size is None or size < 0 or size > _LONGEST_HEADER:
            raise tarfile.ReadError("a header is too long")
        data = self._source.read(size)
        if self._source.tell() > self._most:
            self._members.refuse(f"unpacks to more than {self._members.allowed} bytes")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move on; going past the end of what may be there is a refusal."""
        if whence == io.SEEK_SET and offset > self._most:
            self._members.refuse(f"unpacks to more than {self._members.allowed} bytes")
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        """Bytes handed out or passed over."""
        return self._source.tell()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True


def _tar(stream: _Bounded, room: Path, targets: Targets, members: Members, progress: Progress) -> dict[str, str]:
    done: dict[str, str] = {}
    end = 0
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:") as tar:
        for member in tar:
            end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if not (member.isdir() or member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)) or member.issparse():
                members.refuse(f"a member is a link, a device or of another special kind: {member.name!r}")
            path = members.take(member.name, member.size, member.isdir())
            if targets is not None:
                path = targets.get(member.name, "")
            if path and not member.isdir():
                source = tar.extractfile(member)
                if source is not None:
                    _copy(source, room / path, member.size, members)
                    done[member.name] = path
            elif path:
                (room / path).mkdir(parents=True, exist_ok=True)
            progress(len(done), 0, "unpacking")
            # tarfile keeps every header it has seen
            tar.members = []  # type: ignore[attr-defined]
    stream.seek(end)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        # cut between two members an archive looks whole but for its end mark
        raise tarfile.ReadError("it ends early: the end mark is missing")
    return done


def _zip(stream: BinaryIO, room: Path, targets: Targets, members: Members, progress: Progress) -> dict[str, str]:
    done: dict[str, str] = {}
    _refuse_long_directory(stream, members)
    with zipfile.ZipFile(stream) as source:
        found = source.infolist()
        paths = []
        for member in found:
            # orig_filename is what the file says, before zipfile cuts at a null byte
            paths.append(members.take(member.orig_filename, member.file_size, member.is_dir()))
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 0x41:
                members.refuse(f"a member is a link, a device or encrypted: {member.filename!r}")
        wanted = members.total if targets is None else sum(m.file_size for m in found if m.filename in targets)
        free = shutil.disk_usage(room).free
        if wanted > free:
            raise ResourceError(f"{wanted} bytes are needed, {free} are free", path=room.parent, code="disk")
        for count, (member, own) in enumerate(zip(found, paths, strict=True), 1):
            path = own if targets is None else targets.get(member.filename, "")
            if path and member.is_dir():
                (room / path).mkdir(parents=True, exist_ok=True)
            elif path:
                with source.open(member) as content:
                    _copy(content, room / path, member.file_size, members)
                done[member.filename] = path
            progress(count, len(found), "unpacking")
    return done


def _refuse_long_directory(stream: BinaryIO, members: Members) -> None:
    """Judge the size of a zip's directory before it is parsed, which takes far more memory than it has bytes."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - (1 << 16) - 22))
    tail = stream.read()
    stream.seek(0)
    at, wide = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    declared = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if wide >= 0:
        declared = max(declared if declared != 0xFFFFFFFF else 0, int.from_bytes(tail[wide + 40 : wide + 48], "little"))
    if declared > members.limits.members * _CENTRAL_ENTRY:
        members.refuse(f"more than {members.limits.members} members")


def _copy(source: IO[bytes], target: Path, size: int, members: Members) -> None:
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
        members.refuse(f"a member has not the size it declares: {target.name!r}")
