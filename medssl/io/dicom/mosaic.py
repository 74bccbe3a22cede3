"""Siemens mosaics: the slices of one time point, side by side in one picture (MR, classic DICOM)."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.dicom.files import read_dataset
from medssl.io.dicom.frame import Frame, Tile
from medssl.io.dicom.planes import private, single_frame
from medssl.io.dicom.siemens_csa import csa_numbers
from medssl.io.dicom.tags import numbers

_GROUP = 0x0029
_CREATOR = "SIEMENS CSA HEADER"
_COUNT, _NORMAL = "NumberOfImagesInMosaic", "SliceNormalVector"
_TAGS: tuple[str | int, ...] = ("SpacingBetweenSlices", "NumberOfFrames")
_MAX_TILES = 1024


def mosaic_frames(dataset: Any, path: Path) -> list[Frame]:
    """The slices of a mosaic, first the one in the upper left corner.

    ImagePositionPatient places a picture of the mosaic's size whose middle is the middle of the first slice. How many
    slices there are and on which side of the first the second lies stands in Siemens' private header alone.

    Raises:
        InputError: ``geometry``: the number of slices, their normal or their distance is not said.
    """
    blocks = [_GROUP << 16 | block for block in range(0x10, 0x20)]
    elements = [_GROUP << 16 | block << 8 | 0x10 for block in range(0x10, 0x20)]
    more = read_dataset(path, [*_TAGS, *blocks, *elements], stop_before_pixels=True)
    count, normal = _private(dataset, more, blocks, path)
    whole = single_frame(dataset, path)
    per_side = ceil(sqrt(count))
    rows, columns = whole.shape
    if rows % per_side or columns % per_side:
        raise InputError(f"a mosaic of {count} slices cannot have {rows}×{columns} pixels", path=path, code="geometry")
    shape = (rows // per_side, columns // per_side)
    step = _step(more, whole, normal, path)
    aside = np.array([(columns - shape[1]) / 2, (rows - shape[0]) / 2])
    corner = whole.position + (aside * whole.spacing[::-1]) @ whole.directions
    return [
        replace(
            whole,
            shape=shape,
            position=corner + k * step,
            tile=Tile(k + 1, k // per_side * shape[0], k % per_side * shape[1], whole.shape),
            # a mosaic is a volume of its own, whatever its tags share with others of its series
            hard=(*whole.hard, f"mosaic {whole.instance or path}"),
        )
        for k in range(count)
    ]


def _private(dataset: Any, more: Any, blocks: list[int], path: Path) -> tuple[int, NDArray[np.float64]]:
    names = [str(private(more, block) or "").strip() for block in blocks]
    header = None
    if _CREATOR in names:
        header = private(more, _GROUP << 16 | (0x10 + names.index(_CREATOR)) << 8 | 0x10)
    if not isinstance(header, bytes):
        raise InputError(
            f"a Siemens mosaic (many slices tiled into one picture) without {_CREATOR} (0029,xx10): "
            f"{_COUNT} and {_NORMAL} are not said",
            path=path,
            code="geometry",
            hint="export the series with its private tags, or as enhanced or single-slice DICOM",
        )
    try:
        found = csa_numbers(header, (_COUNT, _NORMAL))
    except ValueError as error:
        raise InputError("a Siemens mosaic whose CSA header cannot be read", path=path, code="corrupt") from error
    counts, normal = found.get(_COUNT, ()), np.array(found.get(_NORMAL, ()))
    said = private(dataset, 0x0019100A)
    if len(counts) != 1 or not counts[0].is_integer() or not 1 <= counts[0] <= _MAX_TILES:
        raise InputError(f"a Siemens mosaic without a {_COUNT} in its CSA header", path=path, code="geometry")
    if isinstance(said, int) and said != counts[0]:
        raise InputError(f"a Siemens mosaic whose two {_COUNT} differ", path=path, code="corrupt")
    if normal.shape != (3,) or not np.isfinite(normal).all():
        raise InputError(f"a Siemens mosaic without a {_NORMAL} in its CSA header", path=path, code="geometry")
    return int(counts[0]), normal


def _step(more: Any, whole: Frame, normal: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """From one slice to the next; the private normal decides the side, the standard's orientation the direction."""
    across = np.cross(whole.directions[0], whole.directions[1])
    side = float(across @ normal)
    if abs(abs(side) - 1) > 1e-3:
        raise InputError(
            f"{_NORMAL} in the CSA header is not perpendicular to ImageOrientationPatient", path=path, code="geometry"
        )
    apart = float(numbers(more, "SpacingBetweenSlices", 1, path)[0])
    if apart <= 0:
        raise InputError(f"SpacingBetweenSlices must be positive, got {apart:g}", path=path, code="geometry")
    return np.asarray(across * (np.sign(side) * apart), dtype=np.float64)
