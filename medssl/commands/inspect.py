"""``medssl inspect``: what is in a file or folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def inspect(path: str | Path, *, progress: Callable[[int, int, str], None] | None = None) -> dict[str, Any]:
    """Series, geometry, intensities, flags and problems of every volume in a file or folder.

    Args:
        path: the file or folder.
        progress: told at every file of a folder.

    Returns:
        ``path``, ``volumes`` (see ``medssl.io.inspect.inspect``) and ``problems`` of all volumes together.

    Raises:
        InputError: the path does not exist, or the folder holds no scan.
    """
    from medssl.io.inspect import inspect as volumes_of

    volumes = volumes_of(path, progress)
    return {
        "path": str(path),
        "volumes": volumes,
        "problems": [problem for volume in volumes for problem in volume["problems"]],
    }
