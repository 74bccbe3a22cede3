"""Where a store lies: a folder of this machine, or a place that a file-system library reads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from medssl.errors import ResourceError, UsageError
from medssl.store.blocks import BLOCK, Fetched, Mapped, Reading

OPEN_BYTES = 512 << 20
"""Bytes of array files that are mapped at a time, and at most that many of one file before its pages are given back."""

KEPT_BYTES = 256 << 20
"""Bytes of fetched blocks that stay in memory."""


class Location(Protocol):
    """What the store needs of the place it lies in."""

    def name(self, *parts: str) -> str:
        """A file or folder there, for messages."""
        ...

    def read(self, *parts: str) -> bytes:
        """A small file.

        Raises:
            OSError: it is missing or cannot be read.
        """
        ...

    def open(self, folder: str, name: str, facts: Mapping[str, Any]) -> Reading:
        """An array file of an entry.

        Raises:
            DamagedError: it is not what was written.
        """
        ...

    def forget(self, folder: str) -> None:
        """Close an entry's files, since they have been made anew."""
        ...


class LocalFolder:
    """A folder of this machine.

    Args:
        path: the store's folder.
        open_bytes: bytes of array files that stay mapped.
    """

    def __init__(self, path: Path, open_bytes: int = OPEN_BYTES) -> None:
        self.path = path
        self._limit = open_bytes
        self._open: OrderedDict[tuple[str, str], Mapped] = OrderedDict()
        self._seen: dict[tuple[str, str], bytearray] = {}

    def __getstate__(self) -> dict[str, Any]:
        # maps would be copied in full into a worker
        return {"path": self.path, "_limit": self._limit, "_open": OrderedDict(), "_seen": {}}

    def name(self, *parts: str) -> str:
        """The path."""
        return str(self.path.joinpath(*parts))

    def read(self, *parts: str) -> bytes:
        """The file's bytes."""
        return self.path.joinpath(*parts).read_bytes()

    def open(self, folder: str, name: str, facts: Mapping[str, Any]) -> Reading:
        """The file's map; those used longest ago are closed where too much is open."""
        key = (folder, name)
        found = self._open.get(key)
        if found is None:
            seen = self._seen.setdefault(key, bytearray(-(-int(facts["bytes"]) // BLOCK)))
            found = self._open[key] = Mapped(self.path / folder / name, facts, seen, self._limit)
            total = sum(one.size for one in self._open.values())
            while total > self._limit and len(self._open) > 1:
                total -= self._open.popitem(last=False)[1].size
        else:
            self._open.move_to_end(key)
        return found

    def forget(self, folder: str) -> None:
        """Close the maps and verify anew."""
        for key in [key for key in self._seen if key[0] == folder]:
            self._open.pop(key, None)
            del self._seen[key]


class RemoteFolder:
    """A place that fsspec reads: ``s3://…``, ``gs://…``, ``https://…``, ``memory://…``; never written.

    Args:
        url: the store's place.

    Raises:
        UsageError: no library for this kind of place is installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._connect()

    def _connect(self) -> None:
        import fsspec

        try:
            self._system, self._root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            kind = self.url.split("://", 1)[0]
            raise UsageError(
                f"cannot read a store at {kind}://", path=self.url, hint="pip install 'medssl[cloud]'"
            ) from error
        self._kept: OrderedDict[Any, bytes] = OrderedDict()
        self._seen: dict[tuple[str, str], bytearray] = {}
        self._open: dict[tuple[str, str], Fetched] = {}

    def __getstate__(self) -> dict[str, Any]:
        # connections cannot be shared with another process
        return {"url": self.url}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.url = state["url"]
        self._connect()

    def name(self, *parts: str) -> str:
        """The place."""
        return "/".join((self.url, *parts))

    def read(self, *parts: str) -> bytes:
        """The file's bytes."""
        try:
            found: bytes = self._system.cat_file("/".join((self._root.rstrip("/"), *parts)))
        except FileNotFoundError:
            raise
        except Exception as error:
            # every library has errors of its own; none of them may hide what could not be reached
            raise ResourceError(
                f"cannot be fetched: {type(error).__name__}", path=self.name(*parts), code="network"
            ) from error
        return found

    def open(self, folder: str, name: str, facts: Mapping[str, Any]) -> Reading:
        """The file, of which nothing but the first block is fetched yet."""
        key = (folder, name)
        if key not in self._open:
            seen = self._seen.setdefault(key, bytearray(-(-int(facts["bytes"]) // BLOCK)))
            path = "/".join((self._root.rstrip("/"), folder, name))
            self._open[key] = Fetched(self._system, path, facts, seen, self._kept)
        while sum(len(data) for data in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return self._open[key]

    def forget(self, folder: str) -> None:
        """Fetch anew."""
        for key in [key for key in self._open if key[0] == folder]:
            del self._open[key]
            path = "/".join((self._root.rstrip("/"), *key))
            for block in [block for block in self._kept if block[0] == path]:
                del self._kept[block]


def location_of(path: str | Path) -> LocalFolder | RemoteFolder:
    """A folder, or a place with a scheme such as ``s3://``.

    Example:
        >>> location_of("a/b").name("store.json")
        'a/b/store.json'
    """
    return RemoteFolder(path) if isinstance(path, str) and is_remote(path) else LocalFolder(Path(path))


def is_remote(place: str) -> bool:
    """Whether a text names a place with a scheme and no folder of this machine.

    Example:
        >>> is_remote("s3://bucket/store"), is_remote("runs/store")
        (True, False)
    """
    return "://" in place
