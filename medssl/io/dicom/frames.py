"""Every image plane of a DICOM folder or file as one record: single slices and frames of multi-frame objects alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medssl.errors import InputError, MedsslError
from medssl.io.dicom.concatenation import missing_parts
from medssl.io.dicom.files import dicom_files, quiet
from medssl.io.dicom.frame import HARD, Frame
from medssl.io.dicom.headers import read_headers
from medssl.io.dicom.kinds import other_object, unfit_image
from medssl.io.dicom.planes import NUCLEAR, RT_DOSE, is_mosaic, single_frame
from medssl.io.dicom.tags import raw, text, whole


@dataclass(frozen=True)
class Found:
    """What a folder holds: image planes, and the kinds of objects that are not images."""

    frames: tuple[Frame, ...]
    others: tuple[tuple[Path, str], ...]


def find_frames(path: Path, below: bool = True) -> Found:
    """Headers of every DICOM file in a folder and its subfolders, or of one file.

    Raises:
        InputError: a file is unreadable, truncated, without pixels or geometry, or of a kind that is not a volume.
    """
    return frames_in([path] if not path.is_dir() else list(dicom_files(path, below)), path)


def frames_in(
    files: Sequence[Path],
    path: Path,
    errors: list[MedsslError] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Found:
    """Headers of some DICOM files.

    Args:
        files: in a stable order.
        path: what the user gave, for messages.
        errors: takes the refusals of single files, so that one broken file hides no other; without it the first
            one is raised, as is a folder without images.
        progress: called with files done, files in all, and what is being done.
    """
    frames: list[Frame] = []
    others: list[tuple[Path, str]] = []
    unfit: list[tuple[Path, str, str]] = []
    for file, header in zip(files, read_headers(files, progress), strict=True):
        try:
            if isinstance(header, MedsslError):
                raise header
            dataset = header.dataset
            with quiet():
                kind = other_object(dataset)
                bad = None if kind else unfit_image(dataset)
                if kind:
                    others.append((file, kind))
                elif bad:
                    unfit.append((file, bad, text(dataset, "SeriesInstanceUID")))
                else:
                    frames += [replace(frame, source=header.source) for frame in frames_of(dataset, file)]
        except MedsslError as error:
            if errors is None:
                raise
            errors.append(error)
    for refusal in missing_parts({frame.path: frame.part for frame in frames if frame.part is not None}):
        if errors is None:
            raise refusal
        errors.append(refusal)
    series = {frame.hard[HARD.index("SeriesInstanceUID")] for frame in frames}
    for file, bad, uid in unfit:
        # a scanner's colour dose sheet is a series of its own and no part of the scan; who knows what one without is
        if not frames or not uid or uid in series:
            refusal = InputError(f"this is {bad}, expected a volume", path=file, code="not-a-volume")
            if errors is None:
                raise refusal
            errors.append(refusal)
        else:
            others.append((file, bad))
    if errors is None and not frames and others:
        raise InputError(
            f"this is {others[0][1]}, not an image volume",
            path=others[0][0],
            code="not-a-volume",
            hint="give it with its scan: medssl convert LABEL DST --like SCAN" if "a label" in others[0][1] else None,
        )
    if errors is None and not frames:
        raise InputError(
            "no DICOM images in the folder: a scan is expected to be a regular file or a directory of DICOM files",
            path=path,
            code="missing",
            hint="medssl inspect says what is in a folder",
        )
    return Found(tuple(frames), tuple(others))


def frames_of(dataset: Any, path: Path) -> list[Frame]:
    """The image planes of one file.

    Args:
        dataset: its header.
        path: the file, for messages.

    Raises:
        InputError: a tag that places a plane is missing or senseless, or planes lie where no tag says.
    """
    if "PerFrameFunctionalGroupsSequence" in dataset:
        from medssl.io.dicom.enhanced import enhanced_frames

        return enhanced_frames(dataset, path)
    sop_class = text(dataset, "SOPClassUID")
    if sop_class == RT_DOSE:
        from medssl.io.dicom.dose import dose_frames

        return dose_frames(dataset, path)
    if sop_class == NUCLEAR:
        from medssl.io.dicom.nuclear import nuclear_frames

        return nuclear_frames(dataset, path)
    if is_mosaic(dataset):
        from medssl.io.dicom.mosaic import mosaic_frames

        return mosaic_frames(dataset, path)
    count = whole(dataset, "NumberOfFrames", path) if raw(dataset, "NumberOfFrames") else 1
    if count > 1:
        raise InputError(
            "a multi-frame object without functional groups: where its frames lie is not said",
            path=path,
            code="not-a-volume",
        )
    return [single_frame(dataset, path)]
