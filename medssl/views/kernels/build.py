"""Compile a function once a machine: kept on disk, under a lock, in a folder that belongs to exactly this code.

numba's own cache is written without a lock, and an index that names another function's code would be run. Here
every first use of a signature, be it compiling or loading, holds a lock on the folder; a folder that a process died
in while writing is emptied first; and its name is a digest of the code and of numba's version, so that nothing stale
is ever found. Where there is no such folder to be had, functions are compiled again in every process.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numba
import numpy as np

from medssl.datasets.cache import cache_folder

log = logging.getLogger(__name__)


class Kernel(Protocol):
    """A compiled function."""

    def __call__(self, *arguments: Any) -> None:
        """Run it, after compiling or loading it at the first use of these types."""
        ...


def built(function: Callable[..., None], fastmath: set[str]) -> Kernel:
    """A function that is compiled when it is first called, for the types of its arguments.

    Args:
        function: of arrays and numbers, in the subset of Python that numba compiles.
        fastmath: what the compiler may assume of floating point numbers.
    """
    ready: dict[tuple[Any, ...], Any] = {}

    def call(*arguments: Any) -> None:
        kinds = tuple(a.dtype.num if isinstance(a, np.ndarray) else type(a) for a in arguments)
        run = ready.get(kinds)
        if run is None:
            run = ready[kinds] = _compile(function, fastmath, arguments)
        run(*arguments)

    return call


def _compile(function: Callable[..., None], fastmath: set[str], arguments: tuple[Any, ...]) -> Any:
    folder = kernel_folder()
    options: dict[str, Any] = {"fastmath": fastmath, "nogil": True, "error_model": "numpy"}
    if folder is not None:
        try:
            with _alone_in(folder), _caching_in(folder):
                run = numba.njit(cache=True, **options)(function)
                run.compile(tuple(numba.typeof(argument) for argument in arguments))
                return run
        except Exception as error:  # a damaged file raises whatever unpickling it raises
            log.warning("compiled code is not taken from %s: %s", folder, error)
    return numba.njit(**options)(function)


@lru_cache(maxsize=1)
def kernel_folder() -> Path | None:
    """Where compiled code is kept, or None where that cannot be trusted or written.

    The cache is unpickled when it is loaded: only a folder of one's own, which nobody else may write, will do.
    """
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    digest = hashlib.sha256(code + f"{numba.__version__} {np.__version__} {sys.version}".encode()).hexdigest()[:16]
    folder = cache_folder() / "kernels" / digest
    reason = "it cannot be written, belongs to someone else, or others may write it"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
        own = facts.st_uid == os.getuid() and not facts.st_mode & 0o022
        if own and os.access(folder, os.W_OK):
            return folder
    except (OSError, AttributeError) as error:
        reason = str(error)
    log.warning("view kernels are compiled anew in every process, some seconds each: no use of %s: %s", folder, reason)
    return None


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; empty it first where another process died while it wrote."""
    import fcntl

    writing = folder / "writing"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if writing.exists():
            for path in [*folder.rglob("*.nbi"), *folder.rglob("*.nbc")]:
                path.unlink()
        writing.touch()
        yield
        # left behind where the lines above raised or the process was killed
        writing.unlink()


@contextlib.contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    """Point numba's cache here while one function is set up; elsewhere it stays where its user wants it."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
