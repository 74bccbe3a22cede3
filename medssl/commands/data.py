"""Verbs on data sets: list the cards, fetch what can be had freely."""

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
