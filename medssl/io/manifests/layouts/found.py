"""Rows as a layout finds them, relative to the data's folder, and what file names say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from medssl.io.sniff import suffix_of
from medssl.manifest import Record

Progress = Callable[[int, int, str], None]


@dataclass
class Found:
    """What a layout found.

    Args:
        records: rows, with paths relative to the data's folder.
        classes: label value → name, where they are said.
        passed_over: ``file`` and ``reason`` of what is no row.
        channels: names of the volumes of a 4D file, in order, where they are said.
    """

    records: list[Record] = field(default_factory=list)
    classes: dict[int, str] = field(default_factory=dict)
    passed_over: list[dict[str, str]] = field(default_factory=list)
    channels: tuple[str, ...] = ()

    def pass_over(self, file: str, reason: str) -> None:
        """Take note of a file that becomes no row."""
        self.passed_over.append({"file": file, "reason": reason})


def stem_of(path: Path) -> str:
    """File name without the suffix, ``.nii.gz`` taken as one.

    Example:
        >>> stem_of(Path("a/b.c.nii.gz"))
        'b.c'
    """
    return path.name[: len(path.name) - len(suffix_of(path))]


def patient_of(name: str) -> str:
    """The patient a file name speaks of: BIDS's ``sub-`` part, else the whole name.

    Example:
        >>> patient_of("imagesTr/hippocampus_001.nii.gz"), patient_of("sub-07_ses-2_T1w")
        ('hippocampus_001', 'sub-07')
    """
    stem = stem_of(Path(name))
    match = re.match(r"sub-[A-Za-z0-9]+", stem)
    return match[0] if match else stem


def relative(path: Path, source: Path) -> str:
    """A path below the data's folder, with slashes."""
    return path.relative_to(source).as_posix()
