"""Segments of DICOM labels: their numbers, names that may be shown, and which voxel value each becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.labels.segment_words import WORDS

Choice = int | str | None

_SCHEMES = frozenset(["SCT", "SRT", "SNM3", "FMA", "DCM", "UBERON", "NCIt", "RADLEX", "UMLS", "LN"])
_MEANING = re.compile(r"[A-Za-z][A-Za-z ,'()/-]{1,62}[A-Za-z)]")
_LABEL = re.compile(r"[A-Za-z]+|\d+")


@dataclass(frozen=True)
class Segment:
    """One segment or region of interest.

    Args:
        number: SegmentNumber or ROINumber.
        name: what may be shown: a coded meaning, or a label made of plain words only, else ``segment_N``.
        names: every name that the file gives it, for comparison only, never to be output.
    """

    number: int
    name: str
    names: tuple[str, ...] = ()


def shown_name(meaning: str, scheme: str, label: str, number: int) -> str:
    """A segment's name without free text.

    Args:
        meaning: CodeMeaning of its type.
        scheme: CodingSchemeDesignator of that code.
        label: SegmentLabel or ROIName, which may hold anything.
        number: of the segment, when neither can be shown.

    Example:
        >>> shown_name("Liver", "SCT", "MUSTERMANN^ERIKA", 3), shown_name("", "", "GTV-1", 4)
        ('Liver', 'GTV-1')
        >>> shown_name("", "", "Erika's tumour", 5)
        'segment_5'
    """
    if scheme in _SCHEMES and _MEANING.fullmatch(meaning):
        return meaning
    return label if plain_label(label) else f"segment_{number}"


def plain_label(label: str) -> bool:
    """Whether a label is made of known words, single letters and numbers up to 99 alone.

    Example:
        >>> [plain_label(text) for text in ("Lung-Left", "lung_l 2", "Lung Smith", "19990101", "")]
        [True, True, False, False, False]
    """
    parts = _LABEL.findall(label)
    words = [part.lower() for part in parts if part.isalpha()]
    known = all(word in WORDS or len(word) == 1 for word in words)
    digits = sum(part.isdigit() for part in parts)
    short = all(len(part) <= 2 for part in parts if part.isdigit())
    rest = re.sub(r"[A-Za-z0-9 _.,+()/-]", "", label)
    return len(label) <= 40 and not rest and known and short and digits <= 2 and any(len(word) > 1 for word in words)


def unlike(names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Names that are all different: where two segments share one, their numbers are added.

    Example:
        >>> unlike(["Kidney", "Liver", "Kidney"], [1, 2, 3])
        ['Kidney_1', 'Liver', 'Kidney_3']
    """
    folded = [_folded(name) for name in names]
    return [
        f"{name}_{number}" if folded.count(fold) > 1 else name
        for name, fold, number in zip(names, folded, numbers, strict=True)
    ]


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()


def values_of(
    segments: Sequence[Segment],
    path: Path,
    segment: Choice = None,
    classes: Mapping[int, str] | None = None,
    by_number: bool = False,
) -> tuple[dict[int, int], tuple[str, ...]]:
    """Which voxel value each segment becomes; segments that do not appear are left out.

    Args:
        segments: all that the file has.
        path: the file, for messages.
        segment: one of them alone, by number or by a name that the file gives it; it keeps its number as value.
        classes: value → name: a segment becomes the value of the class whose name is one of its names, and the others
            are left out.
        by_number: where no name is a class's, let numbers that are all declared stand, with a flag.

    Returns:
        Segment number → value, and flags: ``segments_left_out:N``, ``classes_by_number``.

    Raises:
        InputError: ``label``: no such segment, or none that is a class, or two for one class.
    """
    if segment is not None:
        number = _chosen(segments, segment, path).number
        return {number: number}, ()
    declared = {value: name for value, name in (classes or {}).items() if value > 0}
    if not declared:
        return {one.number: one.number for one in segments}, ()
    out = _of_classes(segments, declared, path)
    if out:
        left = len(segments) - len(out)
        return out, (f"segments_left_out:{left}",) if left else ()
    if by_number and segments and all(one.number in declared for one in segments):
        return {one.number: one.number for one in segments}, ("classes_by_number",)
    listed = ", ".join(f"{one.number} {one.name}" for one in segments[:12])
    raise InputError(
        f"none of the {len(segments)} segments has the name of a declared class",
        path=path,
        code="label",
        hint=f"name the classes as the file does: {listed}; or convert it with segment=N",
    )


def _of_classes(segments: Sequence[Segment], declared: Mapping[int, str], path: Path) -> dict[int, int]:
    """Segment number → value of the class of its name."""
    out: dict[int, int] = {}
    for value, name in declared.items():
        same = _named(segments, name)
        if len(same) > 1:
            raise InputError(
                f"segments {_numbers(same)} are all named as class {value} is",
                path=path,
                code="label",
                hint="choose one with segment=N",
            )
        if same and same[0].number in out:
            raise InputError(
                f"segment {same[0].number} is named as classes {out[same[0].number]} and {value} are",
                path=path,
                code="label",
            )
        out |= {one.number: value for one in same}
    return out


def _named(segments: Sequence[Segment], name: str) -> list[Segment]:
    """The segments of that name; the name that stands first in a file goes before the others."""
    fold = _folded(name)
    most = max((len(one.names) for one in segments), default=0)
    for place in range(most):
        same = [one for one in segments if len(one.names) > place and _folded(one.names[place]) == fold]
        if same:
            return same
    return [one for one in segments if _folded(one.name) == fold]


def _chosen(segments: Sequence[Segment], segment: int | str, path: Path) -> Segment:
    wanted = str(segment).strip()
    number = int(wanted) if wanted.isascii() and wanted.isdigit() else None
    same = [one for one in segments if one.number == number] if number is not None else []
    same = same or _named(segments, wanted)
    if len(same) == 1:
        return same[0]
    listed = ", ".join(f"{one.number} {one.name}" for one in segments[:12])
    more = ", …" if len(segments) > 12 else ""
    found = f"segments {_numbers(same)} have that name" if same else "no segment is the one asked for"
    raise InputError(found, path=path, code="label", hint=f"there are: {listed}{more}")


def _numbers(segments: Sequence[Segment]) -> str:
    return " and ".join(str(one.number) for one in segments)


def paint(out: NDArray[np.int32], mask: NDArray[np.bool_], value: int, clashes: dict[int, int]) -> None:
    """Give the voxels of a mask their value, and count those that have another one already.

    Args:
        out: a view of the label map.
        mask: of the view's shape.
        value: not 0.
        clashes: value that stood there → voxels, added to.
    """
    held = out[mask]
    if held.any():
        others, counts = np.unique(held[(held != 0) & (held != value)], return_counts=True)
        for other, count in zip(others.tolist(), counts.tolist(), strict=True):
            clashes[other] = clashes.get(other, 0) + count
    out[mask] = value


def refuse_overlap(clashes: Mapping[int, int], number: int, numbers: Mapping[int, int], path: Path) -> None:
    """Refuse two segments in one voxel, with both numbers.

    Args:
        clashes: what ``paint`` counted for this segment.
        number: of the segment.
        numbers: value → segment number of those painted before.
        path: the file.
    """
    if not clashes:
        return
    value, count = next(iter(sorted(clashes.items())))
    first = numbers.get(value, value)
    raise InputError(
        f"segments {min(first, number)} and {max(first, number)} overlap in {count} voxels: a label map has one value "
        "a voxel",
        path=path,
        code="label",
        hint="choose one with segment=N",
    )
