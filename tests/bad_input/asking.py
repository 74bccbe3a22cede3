"""What the tests of wrong inputs share."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Refused = Callable[..., str]
"""Runs a command and holds its refusal against exit code, stable code and words; gives what stood on stdout."""

VIT = "encoder={name: vit, width: 48, depth: 2, heads: 3, patch: 8}"
RESNET = "encoder={name: resnet, depth: 10, width: 4}"
OWN_STORE = "data.store=out/store"


class Canary:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch canary",)


def listing(folder: Path) -> set[str]:
    """Everything below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file can grow over so many bytes: writing fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
