"""Every image plane of a DICOM folder or file as one record: single slices and frames of multi-frame objects alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, MedsslError
from medssl.io.dicom.concatenation import Part, missing_parts
from medssl.io.dicom.files import dicom_files, quiet
from medssl.io.dicom.headers import Source, read_headers
from medssl.io.dicom.kinds import other_object, unfit_image
from medssl.io.dicom.lut import Table
from medssl.io.dicom.tags import text

HARD = ("PatientID", "SeriesInstanceUID", "FrameOfReferenceUID", "ImageType", "EchoTime", "DiffusionBValue")
SOFT = (
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "EchoNumbers",
    "DiffusionGradientOrientation",
    "InversionTime",
    "FlipAngle",
    "RepetitionTime",
    "TriggerTime",
    "FrameReferenceTime",
    "AcquisitionTime",
    "ContentTime",
    "ConvolutionKernel",
)
"""HARD tags always separate volumes; SOFT ones only where slices would otherwise lie on top of each other."""


@dataclass(frozen=True)
class Tile:
    """Where an image plane lies in a picture that holds several side by side.

    Args:
        number: of the plane in the picture, from 1.
        top: its first row.
        left: its first column.
        picture: rows, columns of the whole picture.
    """

    number: int
    top: int
    left: int
    picture: tuple[int, int]

    def cut(self, stored: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
        """The plane's own part of the picture."""
        return stored[self.top : self.top + shape[0], self.left : self.left + shape[1]]


@dataclass(frozen=True, eq=False)
class Frame:
    """One image plane with its geometry, before its pixels are read.

    Args:
        path: the file.
        index: the frame in a multi-frame file, else None.
        shape: rows, columns.
        position: centre of the first pixel, LPS millimetres.
        directions: ``(2, 3)``, along a row and along a column.
        spacing: millimetres between rows, between columns.
        rescale: slope and intercept.
        hard: values that always separate volumes.
        soft: values that separate volumes where positions coincide.
        modality: CT, MR, PT, …
        inverted: MONOCHROME1 (stored values are kept).
        study: StudyInstanceUID as it stands, never to be output.
        table: a modality lookup table, in the place of ``rescale``.
        tile: the plane's place in a mosaic; the file's picture has then another shape than the plane.
        instance: SOPInstanceUID as it stands, never to be output.
        unit: of the real values, where a tag says it: HU, GY, BQML, …
        thickness: SliceThickness in millimetres, 0 where it is not said; it decides nothing.
        unfit: why the plane, although it has a place, can be no part of a volume (one part of complex numbers).
        part: the file's place in a concatenation.
        source: the file as its header was read, and where its plain pixels lie.
    """

    path: Path
    index: int | None
    shape: tuple[int, int]
    position: NDArray[np.float64]
    directions: NDArray[np.float64]
    spacing: NDArray[np.float64]
    rescale: tuple[float, float]
    hard: tuple[str, ...]
    soft: tuple[str, ...]
    modality: str
    inverted: bool = False
    study: str = ""
    table: Table | None = None
    tile: Tile | None = None
    instance: str = ""
    unit: str = ""
    thickness: float = 0.0
    unfit: str = ""
    part: Part | None = None
    source: Source | None = None

    @property
    def stored_shape(self) -> tuple[int, int]:
        """Rows and columns of the picture as it is stored."""
        return self.shape if self.tile is None else self.tile.picture

    @property
    def name(self) -> str:
        """File name, with the frame's number from 1 where there are several."""
        if self.tile is not None:
            return f"{self.path.name} tile {self.tile.number}"
        return self.path.name if self.index is None else f"{self.path.name} frame {self.index + 1}"


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
    # the readers of planes make the records that this file declares
    from medssl.io.dicom.planes import frames_of

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
