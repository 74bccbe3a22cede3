"""Which frame of reference and series a scan or label belongs to, as keyed hashes, and whether the two fit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medssl.errors import InputError, MedsslError
from medssl.identifiers import hashed
from medssl.volume import Volume

FRAME, SERIES = "frame_of_reference_id", "series_id"


def reference_tags(frame_of_reference: str, series: str) -> dict[str, str]:
    """What a volume keeps of its two UIDs: their keyed hashes, so that a label can be compared later.

    Empty where the user's key cannot be read or made: geometry alone then decides.
    """
    try:
        found = {FRAME: hashed(frame_of_reference), SERIES: hashed(series)}
    except MedsslError:
        return {}
    return {name: value for name, value in found.items() if value}


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
    mine = {uid for uid in frames if uid}
    if mine and FRAME in like.tags and like.tags[FRAME] not in reference_tags_of(mine):
        raise InputError(
            "its FrameOfReferenceUID is not its scan's: it belongs to another scan",
            path=path,
            code="label",
            hint="give the scan that it was made on",
        )
    theirs = {uid for uid in series if uid}
    other = theirs and SERIES in like.tags and like.tags[SERIES] not in reference_tags_of(theirs)
    return ("other_series",) if other else ()


def reference_tags_of(uids: Iterable[str]) -> set[str]:
    """Keyed hashes of several UIDs."""
    return {hashed(uid) for uid in uids}
