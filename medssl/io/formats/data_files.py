"""The names of a detached header's data files: one name, a numbered pattern, or a list."""

from __future__ import annotations

import re
from pathlib import Path

from medssl.errors import InputError

MOST_FILES = 10_000
_PATTERN = re.compile(r"[^%]*%0?\d{0,2}d[^%]*")


def data_files(text: str, following: str, path: Path) -> tuple[str, ...]:
    """The data files that a header names, in the order of the slowest axis.

    Args:
        text: what stands in the header's field: ``a.raw``, ``a%03d.raw 1 20 1`` or ``LIST``.
        following: the header's text after that line, where a list's names stand one a line.
        path: the header, for messages.

    Raises:
        InputError: the pattern or the list makes no sense.

    Example:
        >>> data_files("a%02d.raw 8 12 2", "", Path("a.nhdr"))
        ('a08.raw', 'a10.raw', 'a12.raw')
    """
    words = text.split()
    if words and words[0].upper() == "LIST":
        names = tuple(line.strip() for line in following.splitlines() if line.strip())
        if not 1 <= len(names) <= MOST_FILES:
            raise InputError(
                f"the header lists {len(names)} data files, expected 1 to {MOST_FILES}", path=path, code="corrupt"
            )
        return names
    numbers = [int(word) for word in words[1:] if re.fullmatch(r"-?\d{1,9}", word)]
    # a name may hold a percent sign: only numbers behind it make it a pattern
    if len(words) in (4, 5) and len(numbers) == len(words) - 1 and "%" in words[0]:
        first, last, step = numbers[:3]
        count = (last - first) // step + 1 if step else 0
        if not _PATTERN.fullmatch(words[0]) or not 1 <= count <= MOST_FILES:
            raise InputError("the numbered pattern of data files makes no sense", path=path, code="corrupt")
        return tuple(words[0] % (first + n * step) for n in range(count))
    return (text,)
