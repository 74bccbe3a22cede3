"""Enhanced objects written in several files, as one concatenation (PS3.3 C.7.6.16.2.2.4): all parts or none."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from medssl.errors import InputError


class Part(NamedTuple):
    """A file's place in its concatenation.

    Args:
        concatenation: ConcatenationUID as it stands, never to be output.
        number: from 1.
        total: parts there are, 0 where it is not said.
    """

    concatenation: str
    number: int
    total: int


def missing_parts(parts: dict[Path, Part]) -> list[InputError]:
    """A refusal for each concatenation of which not every part is there exactly once.

    Args:
        parts: for each file of a concatenation its place; in a stable order.
    """
    together: dict[str, list[tuple[Path, Part]]] = defaultdict(list)
    for path, part in parts.items():
        together[part.concatenation].append((path, part))
    return [error for group in together.values() if (error := _missing(group)) is not None]


def _missing(group: list[tuple[Path, Part]]) -> InputError | None:
    numbers = [part.number for _, part in group]
    total = max([*numbers, *(part.total for _, part in group)])
    path = group[0][0]
    for number in range(1, min(total, len(numbers) + 1) + 1):
        if number not in numbers:
            return InputError(
                f"part {number} of a concatenation of {total} files is missing",
                path=path,
                code="slices",
                hint="give the folder that holds all of its files",
            )
    if len(set(numbers)) < len(numbers):
        twice = [file for file, part in group if numbers.count(part.number) > 1]
        return InputError(
            f"{twice[0].name} and {twice[1].name} are the same part of a concatenation", path=twice[1], code="slices"
        )
    return None
