"""How a verb answers: text for people, one JSON document with ``--json``, progress on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from medssl.errors import one_line

JSON = typer.Option(False, "--json", help="Print one JSON document on stdout.")


ROOT = typer.Option(None, "--root", metavar="DIR", help="Folder that the manifest's paths start from, else its own.")
OVERRIDES = typer.Argument(None, metavar="KEY.PATH=VALUE", help="Changes to the recipe, as many as needed.")
SPLIT = typer.Option(None, "--split", metavar="NAME", help="Only the rows of this split.")


def answer(result: Mapping[str, Any], as_json: bool, lines: Iterable[str]) -> None:
    """Print a verb's result; inputs that were set aside give exit code 1.

    Args:
        result: plain data.
        as_json: print it as one JSON document.
        lines: the same for people.
    """
    if as_json:
        print(json.dumps(plain(result), indent=2, ensure_ascii=False))
    else:
        for line in lines:
            print(one_line(line))
    if result.get("quarantined"):
        raise typer.Exit(1)


def plain(value: Any) -> Any:
    """Plain JSON data: arrays become lists, numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return value


class Progress:
    """A callable ``progress(done, total, text)`` that draws on stderr: a bar on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self._text = ""
        self._started = time.monotonic()
        self._drawn = 0.0
        self._told: set[str] = set()
        self._live = sys.stderr.isatty()

    def __call__(self, done: int, total: int, text: str) -> None:
        """Say how far a step is."""
        now = time.monotonic()
        if text != self._text:
            self._finish()
            self._text, self._started, self._drawn = text, now, 0.0
            # the end of a step whose parts have been told is no news
            if not self._live and not (done >= total and text in self._told):
                print(f"{one_line(text)} …", file=sys.stderr, flush=True)
        self._told.add(text)
        if self._live and (now - self._drawn > 0.1 or done >= total):
            self._drawn = now
            share = done / total if total else 1.0
            bar = "█" * int(24 * share) + "░" * (24 - int(24 * share))
            print(
                f"\r\x1b[2K{one_line(text)[:48]:<48} {bar} {done}/{total}  {now - self._started:5.1f} s",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def note(self, text: str) -> None:
        """Say something once, on a line of its own."""
        # the bar is drawn again with the next step
        start = "\r\x1b[2K" if self._live else ""
        print(f"{start}note: {one_line(text)}", file=sys.stderr, flush=True)

    def _finish(self) -> None:
        if self._live and self._text:
            print(file=sys.stderr)

    def close(self) -> None:
        """End the last line."""
        self._finish()
        self._text = ""


@contextmanager
def progressing() -> Iterator[Progress]:
    """A progress display that ends its line whatever happens."""
    progress = Progress()
    try:
        yield progress
    finally:
        progress.close()
