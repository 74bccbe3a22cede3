"""Which frame of reference and series a scan or label belongs to, as marks without meaning, and whether the two fit."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path

from medssl.errors import InputError
from medssl.identifiers import hashed
from medssl.volume import Volume

FRAME, SERIES = "frame_of_reference", "series"

_KEY = secrets.token_bytes(32)
_OWNER = hashlib.sha256(_KEY).hexdigest()[:8]
"""Marks are compared within a process only, so their key is its own and nothing is written for them."""


def reference_tags(frame_of_reference: str, series: str) -> dict[str, str]:
    """What a volume keeps of its two UIDs: marks, so that a label can be compared later; none of an empty UID."""
    found = {FRAME: frame_of_reference, SERIES: series}
    return {name: _mark(uid) for name, uid in found.items() if uid}


def check_references(frames: Iterable[str], series: Iterable[str], like: Volume, path: Path) -> tuple[str, ...]:
    """Compare a label's frames of reference and series with its scan's, where both are known.

    Args:
        frames: FrameOfReferenceUID of the label; empty ones do not count.
        series: SeriesInstanceUID that the label refers to.
        like: the scan.
        path: the label's file.

    Returns:
        The flag ``other_series`` where the label was made on another series in the same frame of reference.

    Raises:
        InputError: ``label``: another frame of reference: millimetres do not mean the same place there.
    """
    if _differ(frames, like.tags.get(FRAME, "")):
        raise InputError(
            "its FrameOfReferenceUID is not its scan's: it belongs to another scan",
            path=path,
            code="label",
            hint="give the scan that it was made on",
        )
    return ("other_series",) if _differ(series, like.tags.get(SERIES, "")) else ()


def _differ(uids: Iterable[str], mark: str) -> bool:
    """Whether a mark is known here and none of the UIDs has it."""
    marks = {_mark(uid) for uid in uids if uid}
    return bool(marks) and mark.startswith(_OWNER) and mark not in marks


def _mark(uid: str) -> str:
    return f"{_OWNER}:{hashed(uid, _KEY)}"
