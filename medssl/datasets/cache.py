"""Where fetched data lies, and the checksums that are verified at every use (promise P42)."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from medssl.atomic import write_text
from medssl.datasets.progress import Progress, silent
from medssl.errors import IntegrityError

_SUMS = "files.sha256"


def cache_folder(cache: str | Path | None = None) -> Path:
    """Where fetched data lies: the argument, else ``$MEDSSL_CACHE``, else ``~/.cache/medssl``.

    Example:
        >>> cache_folder("/data/cache").as_posix()
        '/data/cache'
    """
    if cache is not None:
        return Path(cache)
    return Path(os.environ.get("MEDSSL_CACHE") or Path.home() / ".cache" / "medssl")


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def has_sums(folder: Path, edition: str) -> bool:
    """Whether a folder is complete and of this edition: its checksums are the last thing written."""
    try:
        with (folder / _SUMS).open(encoding="utf-8") as stream:
            return stream.readline() == f"# {edition}\n"
    except OSError:
        return False


def write_sums(folder: Path, edition: str) -> None:
    """Write the sha256 of every file of a folder, for ``check_sums``.

    Args:
        folder: holds the files.
        edition: what the files were made from and how; a folder of another edition is made anew.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _SUMS)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text(folder / _SUMS, f"# {edition}\n" + "".join(lines))


def check_sums(folder: Path, progress: Progress = silent) -> None:
    """Check every file of a folder; if one differs the folder is set aside as ``<name>.bad``.

    Raises:
        IntegrityError: a file differs or is missing (code ``hash``).
    """
    lines = (folder / _SUMS).read_text(encoding="utf-8").splitlines()[1:]
    for number, line in enumerate(lines):
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            bad = folder.with_name(folder.name + ".bad")
            shutil.rmtree(bad, ignore_errors=True)
            os.replace(folder, bad)
            raise IntegrityError(
                "a cached file is missing or was changed",
                path=path,
                code="hash",
                hint=f"set aside as {bad.name}; run the command again to get it anew",
            )
        progress(number + 1, len(lines), f"checking {folder.name}")


def settle(made: Path, folder: Path, edition: str) -> None:
    """Put a finished folder in its place, instead of another edition; if another process was first, its work stands."""
    if has_sums(folder, edition):
        return
    if (folder / _SUMS).exists():
        shutil.rmtree(folder)
    try:
        os.replace(made, folder)
    except OSError:
        if not has_sums(folder, edition):
            raise
