"""One image plane as a record, and the tags that part planes into volumes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.io.dicom.concatenation import Part
from medssl.io.dicom.headers import Source
from medssl.io.dicom.lut import Table

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
