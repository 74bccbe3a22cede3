"""Wanted members out of an archive that is not trusted; see ``medssl.io.archives.archive``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medssl.io.archives.archive import extract
from medssl.io.archives.members import Limits

DEFAULT_LIMITS = Limits()


def unpack(archive: Path, wanted: Mapping[str, str], folder: Path, limits: Limits = DEFAULT_LIMITS) -> list[Path]:
    """Unpack the wanted members of an archive; every other one is judged and not written.

    Args:
        archive: the file.
        wanted: member name → path below ``folder``.
        folder: does not exist yet.
        limits: see ``Limits``.

    Returns:
        The files written, in the order of ``wanted``.

    Raises:
        IntegrityError: an unsafe, damaged or incomplete archive (code ``archive``).
        UsageError: ``folder`` exists (code ``exists``).
    """
    return extract(archive, folder, wanted, limits)
