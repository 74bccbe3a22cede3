"""``medssl inspect``: what is in a file or folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def inspect(
    path: str | Path,
    *,
    headers: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Series, geometry, intensities, flags and problems of every volume in a file or folder.

    Args:
        path: the file or folder.
        headers: geometry from headers alone: quick on large folders, blind to broken voxels.
        workers: threads that read, a few by default.
        progress: told at every file.

    Returns:
        ``path``, ``volumes`` (see ``medssl.io.inspect.inspect``), ``objects`` (DICOM objects that are no images),
        ``passed_over`` (files that are no scans) and ``problems`` of all volumes together.

    Raises:
        InputError: the path does not exist, or the folder holds no scan.
    """
    from medssl.io.inspect import inspect as look

    found = look(path, headers=headers, workers=workers, progress=progress)
    return {
        "path": str(path),
        "volumes": found.volumes,
        "objects": found.objects,
        "passed_over": found.passed_over,
        "problems": [problem for volume in found.volumes for problem in volume["problems"]],
    }
