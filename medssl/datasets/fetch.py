"""Get a dataset by the name of its card."""

from __future__ import annotations

from pathlib import Path

from medssl.datasets.cards import load_card
from medssl.datasets.progress import Progress, silent
from medssl.errors import ResourceError


def fetch(name: str, cache: str | Path | None = None, progress: Progress = silent) -> Path:
    """Get a dataset that can be had freely and return its manifest.

    Args:
        name: of a card.
        cache: where fetched data is kept, see ``cache.cache_folder``.
        progress: told at every step.

    Raises:
        UsageError: there is no such card.
        ResourceError: the dataset cannot be fetched by a program; the reason is its card's way to get it.
    """
    card = load_card(name)
    if name == "samples":
        from medssl.datasets.samples import fetch_samples

        return fetch_samples(cache, progress)
    if name == "phantoms":
        from medssl.datasets.phantom_set import cached_phantoms

        return cached_phantoms(cache, progress)
    if name == "textures":
        from medssl.datasets.texture_set import cached_textures

        return cached_textures(cache, progress)
    raise ResourceError(
        f"{card.title} cannot be fetched by a program: {card.how_to_get}",
        path=name,
        code="network",
        hint="then: medssl manifest build FOLDER",
    )
