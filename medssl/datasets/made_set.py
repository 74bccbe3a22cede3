"""Data sets that medssl makes by itself, in the user's cache: made once, checked at every use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from medssl.datasets.cache import cache_folder, check_sums, has_sums, settle, write_sums
from medssl.datasets.progress import Progress, silent
from medssl.errors import from_os_error


def cached_set(
    name: str,
    edition: str,
    make: Callable[[Path], Path],
    cache: str | Path | None = None,
    progress: Progress = silent,
) -> Path:
    """The manifest of a set in the cache, made if it is not there yet, checked if it is.

    Args:
        name: of its folder and of its manifest.
        edition: what it is made of and how; one of another edition is made anew.
        make: fills a folder and returns the manifest's path in it.
        cache: see ``cache.cache_folder``.
        progress: told while files are checked.

    Raises:
        IntegrityError: a cached file was changed (code ``hash``); it is then set aside.
        ResourceError: the disk is full or read-only.
    """
    folder = cache_folder(cache) / name
    manifest = folder / f"{name}.csv"
    if has_sums(folder, edition):
        check_sums(folder, progress)
        return manifest
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
        try:
            made = room / name
            make(made)
            write_sums(made, edition)
            settle(made, folder, edition)
        finally:
            shutil.rmtree(room, ignore_errors=True)
    except OSError as error:
        raise from_os_error(error, folder) from error
    return manifest
