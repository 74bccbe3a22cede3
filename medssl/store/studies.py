"""Scans of one study as channels: which rows of a store belong together, and which sequences are missing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from medssl.errors import InputError


@dataclass(frozen=True)
class Study:
    """The rows of one study.

    Args:
        channels: for each sequence the row's number, None where the study lacks it.
        reference: the row on whose grid the study stands: the first with a label map, else the first there is.
    """

    channels: tuple[int | None, ...]
    reference: int


def group_studies(
    rows: Sequence[tuple[Hashable, Hashable, str]], sequences: Sequence[str], labelled: Sequence[bool]
) -> list[Study]:
    """Studies in the order of their first row. Rows without a study stand alone; other sequences are left out.

    Args:
        rows: patient, study (-1 or empty where unknown) and modality of each.
        sequences: names as in the manifest's ``modality``, in the order of the channels; case does not matter.
        labelled: which rows have a label map.

    Raises:
        InputError: a study holds a sequence twice (``manifest-check``), or no row is of any (``too-few``).
    """
    names = {name.strip().casefold(): channel for channel, name in enumerate(sequences)}
    found: dict[tuple[Hashable, Hashable, int], list[int | None]] = {}
    for number, (patient, study, modality) in enumerate(rows):
        channel = names.get(modality.strip().casefold())
        if channel is None:
            continue
        key = (patient, study, number if study in ("", -1) else -1)
        channels = found.setdefault(key, [None] * len(sequences))
        earlier = channels[channel]
        if earlier is not None:
            raise InputError(
                f"a study holds the sequence {sequences[channel]} twice (scans {earlier + 1} and {number + 1})",
                code="manifest-check",
                hint="keep one of them, or name them apart in the modality column",
            )
        channels[channel] = number
    if not found:
        have = ", ".join(sorted({modality or "(none)" for _, _, modality in rows}))
        raise InputError(f"no row is of the sequences {', '.join(sequences)}, there are: {have}", code="too-few")
    return [Study(tuple(channels), _reference(channels, labelled)) for channels in found.values()]


def _reference(channels: Sequence[int | None], labelled: Sequence[bool]) -> int:
    there = [number for number in channels if number is not None]
    return next((number for number in there if labelled[number]), there[0])
