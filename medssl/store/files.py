"""The store's files: temporary folders that tell whose they are, arrays and facts with their checksums."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.atomic import sync_folder
from medssl.errors import MedsslError, from_os_error

_TEMPORARY = re.compile(r"\.tmp-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}")
STALE_SECONDS = 86_400.0


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def temporary_name() -> str:
    """A name that no other process takes and that tells whose it is, so that orphans can be told from live work."""
    return f".tmp-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def remove_orphans(folder: Path) -> int:
    """Remove what killed processes left behind; temporary files of living processes stay.

    Returns:
        How many were removed.
    """
    orphans = [path for path in folder.glob(".*") if _orphaned(path)] if folder.is_dir() else []
    for path in orphans:
        remove(path)
    return len(orphans)


def _orphaned(path: Path) -> bool:
    name = _TEMPORARY.fullmatch(path.name)
    if name is None:
        return False
    if name[1] == _host():
        return not _alive(int(name[2]))
    try:
        # another machine's process: only age can tell
        return time.time() - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _ended(pid)


def _ended(pid: int) -> bool:
    """Whether a process has ended and is merely waited for by nobody; False where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


def remove(path: Path) -> None:
    """Remove a file or a folder; one that is gone already is fine, and one that cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def naming_disk_errors(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn an operating system's error into ours, with the path and the bytes that were needed."""
    try:
        yield
    except OSError as error:
        ours = from_os_error(error, path, writing=True)
        if ours.code != "disk" or needed is None:
            raise ours from error
        raise _with_need(ours, needed) from error


def _with_need(error: MedsslError, needed: int) -> MedsslError:
    return type(error)(f"{error.reason}, {needed} bytes are needed", path=error.path, code=error.code, hint=error.hint)


def write_new(path: Path, *chunks: bytes | memoryview) -> str:
    """Write a new file in full, down to the disk.

    Returns:
        The content's sha256.
    """
    digest = hashlib.sha256()
    with open(path, "xb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, under a temporary name that ``remove_orphans`` knows.

    Raises:
        ResourceError: the disk is full or read-only.
    """
    temporary = path.parent / temporary_name()
    with naming_disk_errors(path, len(content)):
        try:
            write_new(temporary, content)
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def npy_chunks(array: NDArray[Any]) -> tuple[bytes, memoryview]:
    """An array as the two parts of an ``.npy`` file; never pickled objects."""
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue(), array.reshape(-1).view(np.uint8).data


def seal(data: Mapping[str, Any]) -> bytes:
    """Plain data as JSON that carries its own checksum.

    Example:
        >>> unseal(seal({"a": 1}))
        {'a': 1}
        >>> unseal(seal({"a": 1}).replace(b"1", b"2", 1)) is None
        True
    """
    return (json.dumps({**data, "sha256": _digest(data)}, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def unseal(content: bytes) -> dict[str, Any] | None:
    """The data of ``seal``, or None where a byte changed."""
    try:
        data = json.loads(content)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    digest = data.pop("sha256", None)
    return data if digest == _digest(data) else None


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
