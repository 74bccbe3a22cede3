"""What an archive's members may be called and how much they may hold, judged before anything is kept (promise P46)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from medssl.errors import IntegrityError

LONGEST_NAME = 255
"""Bytes of one part of a path on the usual file systems."""

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".whl", ".7z", ".rar")


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most.

    Args:
        members: number of members.
        total_bytes: size of all members together, unpacked.
        ratio: unpacked size over packed size.
        depth: folders within folders.
    """

    members: int = 20_000
    total_bytes: int = 2 << 30
    ratio: float = 200.0
    depth: int = 64


class Members:
    """Counts the members and bytes of one archive and refuses what is unsafe or goes over the limits."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self.archive = archive
        self.limits = limits
        self.allowed = min(limits.total_bytes, int(limits.ratio * max(archive.stat().st_size, 1)))
        self.total = 0
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, name: str, size: int, folder: bool) -> str:
        """Take note of one member.

        Args:
            name: as the archive says it.
            size: as the archive declares it, unpacked.
            folder: whether it is a folder.

        Returns:
            The path below the folder that is unpacked into; empty for that folder itself.
        """
        path = safe_name(name, self.archive)
        parts = path.split("/") if path else []
        if len(parts) > self.limits.depth:
            self.refuse(f"a member lies more than {self.limits.depth} folders deep")
        # what a file system that ignores case or composes letters takes for one name is one name here
        keys = [_key("/".join(parts[: n + 1])) for n in range(len(parts))]
        if keys and (keys[-1] in self._files or (not folder and keys[-1] in self._folders)):
            self.refuse(f"a member stands twice: {name!r}")
        if any(key in self._files for key in keys[:-1]):
            self.refuse(f"a member lies in a file: {name!r}")
        self._folders.update(keys if folder else keys[:-1])
        self._files.update([] if folder else keys[-1:])
        self.total += size
        if len(self._files) + len(self._folders) > self.limits.members:
            self.refuse(f"more than {self.limits.members} members")
        if size < 0 or self.total > self.allowed:
            self.refuse(f"unpacks to more than {self.allowed} bytes", "raise the limits only if you trust its source")
        return path

    def refuse(self, reason: str, hint: str | None = None) -> None:
        """Refuse the archive."""
        raise IntegrityError(reason, path=self.archive, code="archive", hint=hint)


def safe_name(name: str, archive: Path) -> str:
    """The name without a leading ``./``, if it stays below the folder it is put in on every system.

    Raises:
        IntegrityError: ``archive``: it is absolute, has ``..``, a backslash, a drive or a control character.

    Example:
        >>> safe_name("./a/b.nii", Path("a.zip")), safe_name("./", Path("a.zip"))
        ('a/b.nii', '')
    """
    parts = name.rstrip("/").split("/")
    bad = (
        not name
        or "\\" in name
        or not name.isprintable()
        or name.startswith("/")
        or re.match(r"^[A-Za-z]:", name) is not None
        or any(part in ("", "..") for part in parts)
        or any(len(part.encode("utf-8", "surrogateescape")) > LONGEST_NAME for part in parts)
    )
    if bad:
        shown = name if len(name) <= 80 else name[:80] + "…"
        raise IntegrityError(f"a member has an unsafe name: {shown!r}", path=archive, code="archive")
    return "/".join(part for part in parts if part != ".")


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())
