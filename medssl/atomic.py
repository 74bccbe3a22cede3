"""Writing files whole or not at all: a temporary name in the same folder, fsync, then one rename."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medssl.errors import UsageError, from_os_error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on leaving it takes the place of ``path``, on an error it vanishes.

    The temporary name keeps the suffix, since writers choose the format by it.

    Raises:
        UsageError: its folder does not exist, or a folder stands in its place.
        ResourceError: the disk is full or read-only (``disk``).

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [entry.name for entry in folder.iterdir()]
        ['a.txt']
    """
    if path.is_dir():
        raise UsageError("expected a file, got a folder", path=path, code="exists")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist", path=path)
    suffix = "".join(path.suffixes[-2:]) if path.name.lower().endswith(".gz") else path.suffix
    temporary = path.with_name(f".{secrets.token_hex(8)}.part{suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise from_os_error(error, path, writing=True) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        UsageError: a file stands there (``exists``).
        ResourceError: the disk is full or read-only (``disk``).
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, path, writing=True) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
