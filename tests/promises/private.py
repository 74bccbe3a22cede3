"""Looks for private text in whatever a command leaves: plain, UTF-16, hexadecimal, base64, and inside packed files."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from tests.promises.files import CANARIES


def spellings(text: str) -> set[bytes]:
    """How a text may stand in bytes."""
    plain = text.encode()
    out = {
        plain,
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        plain.hex().encode(),
        plain.hex().upper().encode(),
    }
    for shift in range(3):
        # the letters of base64 that depend on the text alone, wherever in a longer text it begins
        out.add(base64.b64encode(bytes(shift) + plain)[4 if shift else 0 :].rstrip(b"=")[:-1])
    return {spelling for spelling in out if len(spelling) >= 7}


SPELLINGS = set().union(*(spellings(text) for text in CANARIES))


def _inner(content: bytes) -> Iterator[bytes]:
    try:
        if content[:2] == b"\x1f\x8b":
            yield gzip.decompress(content)
        elif content[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    yield archive.read(name) + name.encode()
        elif b"ElementDataFile = LOCAL\n" in content[:4096]:
            yield zlib.decompress(content.split(b"ElementDataFile = LOCAL\n", 1)[1])
        elif content[:4] == b"NRRD":
            yield gzip.decompress(content.split(b"\n\n", 1)[1])
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile):
        return


def found_in(content: bytes, depth: int = 0) -> set[bytes]:
    """The private texts in some bytes."""
    out = {spelling for spelling in SPELLINGS if spelling in content}
    return out.union(*(found_in(part, depth + 1) for part in _inner(content))) if depth < 3 else out


def leaks(*folders: Path) -> dict[str, set[bytes]]:
    """Files below some folders that hold private text, also in their names."""
    out = {}
    for folder in folders:
        for path in folder.rglob("*"):
            name = str(path.relative_to(folder)).encode(errors="surrogateescape")
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found = found_in(content + b"\n" + name)
            if found:
                out[str(path)] = found
    return out
