"""DICOM: one volume of a folder or a multi-frame file, or all of them; a folder with several is never guessed at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medssl.errors import InputError
from medssl.identifiers import hashed
from medssl.io.dicom.frame import HARD, Frame
from medssl.io.dicom.frames import find_frames
from medssl.io.dicom.pixels import read_pixels
from medssl.io.dicom.series import stack
from medssl.io.dicom.split import SAME_DIRECTION, SAME_SPACING, split
from medssl.io.dicom.suv import standardized
from medssl.io.labels.references import reference_tags
from medssl.volume import Volume

_HARD_NAMES = ("patient", "series", "frame of reference", "image type", "echo time", "b-value")
_LISTED = 12
_SERIES = HARD.index("SeriesInstanceUID")
_FRAME = HARD.index("FrameOfReferenceUID")
_PATIENT = HARD.index("PatientID")


@dataclass(frozen=True, eq=False)
class Series:
    """The planes of one volume in a folder.

    Args:
        number: from 1, in the order of file names.
        frames: in order along the normal.
        folder: as the user gave it.
    """

    number: int
    frames: tuple[Frame, ...]
    folder: Path

    @property
    def series_uid(self) -> str:
        """SeriesInstanceUID as it stands, never to be output."""
        return self.frames[0].hard[_SERIES]

    @property
    def patient_id(self) -> str:
        """PatientID as it stands, never to be output."""
        return self.frames[0].hard[_PATIENT]

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID as it stands, never to be output."""
        return self.frames[0].study

    def key(self, salt: bytes | None = None) -> str:
        """A keyed hash of the series and of what parts its volumes; it stays when other files are added.

        The part before the dash is the hash of SeriesInstanceUID, the one behind it tells an echo, a time or an
        orientation from the others under the same UID.
        """
        first = self.frames[0]
        # what is one value in all planes of this volume; what differs from plane to plane cannot part volumes
        soft = [
            values[0] if len(set(values)) == 1 else "" for values in zip(*(f.soft for f in self.frames), strict=True)
        ]
        place = [*np.round(first.directions.ravel(), 3) + 0.0, *(f"{value:.5g}" for value in first.spacing)]
        parts = "\0".join(map(str, [*first.hard, *soft, first.shape, first.modality, *place]))
        return f"{hashed(self.series_uid, salt) or 'none'}-{hashed(parts, salt)[:8]}"

    def describe(self) -> str:
        """One plain phrase for a list: number, modality, size, first file."""
        rows, columns = self.frames[0].shape
        kind = self.frames[0].modality or "image"
        return f"{self.number}: {kind} {columns}×{rows}, {len(self.frames)} slices, from {self.frames[0].path.name}"

    def read(self, allow_gaps: bool = False, suv: bool = False) -> Volume:
        """Voxels and affine of this volume; a PET in standardised uptake values where asked for."""
        planes = stack(list(self.frames), self.folder, allow_gaps)
        data = read_pixels(planes, self.folder)
        scan = Volume(data, planes.affine, planes.flags, self._tags())
        return standardized(scan, [frame.path for frame in self.frames]) if suv else scan

    def _tags(self) -> dict[str, str]:
        modality = self.frames[0].modality
        facts = {"modality": modality, "units": self.frames[0].unit}
        tags = {name: value for name, value in facts.items() if value}
        return tags | reference_tags(self.frames[0].hard[_FRAME], self.series_uid)


def list_series(path: Path, below: bool = True) -> list[Series]:
    """Every volume of a folder (its subfolders too, unless ``below`` is false) or file, from headers alone."""
    groups = split(find_frames(path, below).frames)
    return [Series(number, tuple(group), path) for number, group in enumerate(groups, 1)]


def read_dicom(path: Path, *, series: int | str | None = None, allow_gaps: bool = False, suv: bool = False) -> Volume:
    """The one volume of a folder or multi-frame file.

    Args:
        path: a folder, or one multi-frame file.
        series: which one, where there are several: its number from 1, its SeriesInstanceUID, the keyed hash of that,
            or the volume's own ``key``.
        allow_gaps: resample over missing or uneven slices, with the flag ``gaps_resampled``.
        suv: give a PET in standardised uptake values by body weight, with the flag ``suv_bw``.

    Raises:
        InputError: ``several-volumes`` with the list, or what a slice lacks.
    """
    found = list_series(path)
    if len(found) > 1 and series is None:
        raise InputError(
            f"more than one volume ({len(found)} series or multiple parts, differing in {differences(found)}): "
            + listed(found),
            path=path,
            code="several-volumes",
            hint="choose one with series=N",
        )
    return choose(found, series, path).read(allow_gaps, suv)


def listed(found: list[Series]) -> str:
    """The first volumes of a list, and how many more there are: a time series has hundreds."""
    more = f"; and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return "; ".join(one.describe() for one in found[:_LISTED]) + more


def differences(found: list[Series]) -> str:
    """In which facts several volumes differ; never their values."""
    first = [one.frames[0] for one in found]
    facts = {name: {frame.hard[place] for frame in first} for place, name in enumerate(_HARD_NAMES)}
    facts["modality"] = {frame.modality for frame in first}
    facts["matrix size"] = {str(frame.shape) for frame in first}
    facts["study"] = {frame.study for frame in first}
    facts["unit"] = {frame.unit for frame in first}
    facts["polarity"] = {str(frame.inverted) for frame in first}
    names = [name for name, values in facts.items() if len(values) > 1]
    if any(np.abs(frame.directions - first[0].directions).max() > SAME_DIRECTION for frame in first):
        names.append("orientation")
    if any(not np.allclose(frame.spacing, first[0].spacing, rtol=SAME_SPACING, atol=0) for frame in first):
        names.append("pixel spacing")
    return ", ".join(names) or "time, acquisition or echo"


def choose(found: list[Series], series: int | str | None, path: Path) -> Series:
    """The series that was asked for."""
    if series is None:
        return found[0]
    wanted = str(series)
    matches = [one for one in found if wanted in (str(one.number), one.series_uid)]
    if not matches:
        matches = [one for one in found if wanted in (one.key(), hashed(one.series_uid))]
    if len(matches) != 1:
        raise InputError(
            f"{len(matches)} of {len(found)} volumes match the series asked for",
            path=path,
            code="several-volumes",
            hint=listed(found),
        )
    return matches[0]
