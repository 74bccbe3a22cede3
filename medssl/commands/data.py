"""Verbs on data sets: list the cards, fetch what can be had freely, unpack archives that are not trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medssl.datasets.progress import Progress, silent


def list_data() -> list[dict[str, Any]]:
    """The dataset cards as plain data, by name."""
    from medssl.datasets.cards import list_cards

    return [card.as_dict() for card in list_cards()]


def fetch_data(name: str, *, cache: str | Path | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Get a dataset that can be had freely, checked against its sha256.

    Args:
        name: of a card.
        cache: where fetched data is kept; by default ``$MEDSSL_CACHE`` or ``~/.cache/medssl``.
        progress: told at every step.

    Returns:
        Name, manifest, number of scans, licence and traps.

    Raises:
        UsageError: there is no such card.
        ResourceError: no network, or the dataset cannot be fetched by a program.
        IntegrityError: a checksum differs, or an archive is unsafe.
    """
    from medssl.datasets.cards import load_card
    from medssl.datasets.fetch import fetch
    from medssl.manifest import Manifest

    card = load_card(name)
    path = fetch(name, cache=cache, progress=progress or silent)
    return {
        "name": name,
        "manifest": str(path),
        "scans": len(Manifest.read(path).records),
        "licence": card.licence,
        "traps": list(card.traps),
    }


def unpack(
    archive: str | Path,
    folder: str | Path,
    *,
    max_gb: float = 100.0,
    max_members: int = 1_000_000,
    max_ratio: float = 200.0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Unpack an archive of scans that is not trusted; see ``medssl.io.archives.archive.extract``.

    Args:
        archive: ``.zip``, ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz``, told apart by content.
        folder: does not exist yet.
        max_gb: unpacked size at most, in 10⁹ bytes.
        max_members: members at most.
        max_ratio: unpacked over packed size at most.
        progress: told at every member.

    Returns:
        ``archive``, ``folder``, ``files``, ``bytes`` and ``nested`` (archives inside, which are left packed).

    Raises:
        IntegrityError: ``archive``: unsafe, damaged, or over a limit; nothing is left behind.
        UsageError: ``folder`` exists.
    """
    from medssl.io.archives.archive import extract
    from medssl.io.archives.members import ARCHIVE_SUFFIXES, Limits

    limits = Limits(max_members, int(max_gb * 1e9), max_ratio)
    files = extract(Path(archive), Path(folder), None, limits, progress)
    nested = [file.relative_to(folder).as_posix() for file in files if file.name.lower().endswith(ARCHIVE_SUFFIXES)]
    return {
        "archive": str(archive),
        "folder": str(folder),
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "nested": nested,
    }
