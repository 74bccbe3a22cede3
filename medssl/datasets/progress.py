"""How long work tells its caller where it stands."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with how many parts are done, how many there are in all, and what is being done."""


def silent(done: int, total: int, text: str) -> None:
    """The progress that tells nobody."""
