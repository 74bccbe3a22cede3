"""DICOM volumes as rows, wherever their files lie, with the segmentations and structure sets made on them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medssl.errors import MedsslError
from medssl.identifiers import hashed
from medssl.io.dicom.files import quiet, read_dataset
from medssl.io.dicom.series import stack
from medssl.io.dicom.survey import own_files, survey
from medssl.io.dicom.tags import raw, text
from medssl.io.dicom.volumes import Series
from medssl.io.manifests.layouts.found import Found, Progress, patient_of, relative
from medssl.manifest import Record

_LABELS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.481.3")
_SEQUENCES = ("ReferencedSeriesSequence", "ReferencedFrameOfReferenceSequence")


def add_dicom(files: Sequence[Path], source: Path, found: Found, salt: bytes | None, progress: Progress | None) -> None:
    """Add a row for every volume among DICOM files.

    A series whose slices lie in several folders is one row of the folder above them. Files that are refused make
    their own series passed over, and no other.

    Args:
        files: in a stable order.
        source: the data's folder.
        found: takes the rows and what is passed over.
        salt: key of the hashes; the user's own by default.
        progress: called with files done, files in all, and what is being done.
    """
    if not files:
        return
    whole = survey(files, source, progress)
    labels = _labels(whole.objects, source, found)
    for one in whole.series:
        errors = whole.broken.get(one, ())
        if errors:
            found.pass_over(_place(one, source), f"{errors[0].reason} [{errors[0].code}]")
            continue
        problem = _unfit(one)
        if problem:
            found.pass_over(_place(one, source), problem)
            continue
        for place, key in _readable(one, source, found, salt):
            names = sorted(labels.get(one.series_uid, ()))
            if len(names) > 1:
                found.pass_over(names[0], f"{len(names)} label objects were made on one series: name one in `label`")
            found.records.append(
                Record(
                    place,
                    hashed(one.patient_id, salt) or patient_of(Path(place).name),
                    study_id=hashed(one.study_uid, salt),
                    series_id=key,
                    label=names[0] if len(names) == 1 else "",
                    modality=one.frames[0].modality,
                )
            )
    for errors in (*whole.lost, *((error,) for error in whole.strays)):
        where = Path(errors[0].path) if errors[0].path else source
        name = relative(where, source) if where.is_relative_to(source) else where.name
        more = f" (with {len(errors) - 1} more files of its series)" if len(errors) > 1 else ""
        found.pass_over(name, f"{errors[0].reason} [{errors[0].code}]{more}")


def _unfit(one: Series) -> str:
    """Why a volume could not be read, as far as headers tell: gaps, doubled slices, a single picture."""
    frames = list(one.frames)
    folders = {frame.path.parent for frame in frames}
    positions = {tuple(frame.position.round(3)) for frame in frames}
    if len(folders) > 1 and len(positions) < len(frames):
        # copies in several folders, which become rows of their own
        frames = [frame for frame in frames if frame.path.parent == frames[0].path.parent]
    try:
        stack(frames, one.folder)
    except MedsslError as error:
        return f"{error.reason} [{error.code}]"
    return ""


def _place(one: Series, source: Path) -> str:
    return relative(Path(os.path.commonpath([frame.path.parent for frame in one.frames])), source)


def _readable(one: Series, source: Path, found: Found, salt: bytes | None) -> list[tuple[str, str]]:
    """Path and key of a volume; of a copy in another folder too, which then is a row of its own."""
    first = one.frames[0]
    if first.index is not None and len({frame.path for frame in one.frames}) == 1:
        return [(relative(first.path, source), one.key(salt))]
    folders: dict[Path, list[Any]] = defaultdict(list)
    for frame in one.frames:
        folders[frame.path.parent].append(frame)
    if len(folders) == 1:
        return [(_place(one, source), one.key(salt))]
    positions = [tuple(frame.position.round(3)) for frame in one.frames]
    if len(set(positions)) < len(positions):
        # the same slices in several folders: copies of the series, or what only looks like it, each judged alone
        return [
            (relative(folder, source), Series(1, tuple(frames), folder).key(salt))
            for folder, frames in sorted(folders.items())
        ]
    above = Path(os.path.commonpath(list(folders)))
    if not {frame.path for frame in one.frames} <= set(own_files(above)):
        found.pass_over(relative(above, source), "a series spread over folders that hold others too; part them")
        return []
    return [(relative(above, source), one.key(salt))]


def _labels(objects: Sequence[tuple[Path, str]], source: Path, found: Found) -> dict[str, list[str]]:
    """SeriesInstanceUID → the label objects that were made on it."""
    out: dict[str, list[str]] = defaultdict(list)
    for path, kind in objects:
        try:
            with quiet():
                uids = referenced_series(path)
        except MedsslError as error:
            found.pass_over(relative(path, source), f"{error.reason} [{error.code}]")
            continue
        if uids is None:
            continue
        if not uids:
            found.pass_over(relative(path, source), f"{kind} that does not say on which series it was made")
        for uid in uids:
            out[uid].append(relative(path, source))
    return out


def referenced_series(path: Path) -> set[str] | None:
    """SeriesInstanceUIDs that a segmentation or structure set was made on; None for any other object.

    Raises:
        InputError: the file cannot be parsed.
    """
    dataset = read_dataset(path, ["SOPClassUID", *_SEQUENCES], stop_before_pixels=True)
    if text(dataset, "SOPClassUID") not in _LABELS:
        return None
    items = list(raw(dataset, "ReferencedSeriesSequence") or ())
    for frame in raw(dataset, "ReferencedFrameOfReferenceSequence") or ():
        for study in raw(frame, "RTReferencedStudySequence") or ():
            items += list(raw(study, "RTReferencedSeriesSequence") or ())
    return {uid for item in items if (uid := text(item, "SeriesInstanceUID"))}
