"""``medssl convert``: one scan to another format, with every check of reading."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def convert(
    src: str | Path,
    dst: str | Path,
    *,
    series: int | str | None = None,
    volume: int | None = None,
    prefer: str | None = None,
    nan: float | str | None = None,
    allow_gaps: bool = False,
) -> dict[str, Any]:
    """Read one scan and write it as ``.nii.gz``, ``.nii``, ``.mha``, ``.nrrd`` or ``.npz``.

    Args:
        src: a file or DICOM folder.
        dst: the file to write; its suffix names the format.
        series: which one of a DICOM folder with several.
        volume: which one of a 4D file, from 0.
        prefer: ``sform`` or ``qform``, where the two disagree.
        nan: put in the place of NaN and infinity: a number, or ``fill=V``.
        allow_gaps: resample over missing DICOM slices.

    Returns:
        What was written: path, shape, channels, dtype, spacing, orientation, flags.

    Raises:
        MedsslError: the source is refused, or the target cannot be written.
    """
    from medssl.io.read import read
    from medssl.io.write import write

    fill = _fill(nan)
    scan = read(src, series=series, volume=volume, prefer=prefer, nan_fill=fill, allow_gaps=allow_gaps)
    write(scan, dst)
    return {
        "source": str(src),
        "written": str(dst),
        "shape": list(scan.shape),
        "channels": int(scan.data.shape[0]),
        "dtype": str(scan.data.dtype),
        "spacing_mm": [round(value, 6) for value in scan.spacing_mm],
        "orientation": scan.orientation,
        "modality": scan.tags.get("modality", ""),
        "flags": list(scan.flags),
    }


def _fill(nan: float | str | None) -> float | None:
    from medssl.errors import UsageError

    if nan is None:
        return None
    try:
        value = float(nan.removeprefix("fill=") if isinstance(nan, str) else nan)
    except ValueError as error:
        raise UsageError(f"expected fill=V with a number, got {nan}", path="--nan") from error
    if not math.isfinite(value):
        raise UsageError(f"the value in the place of NaN must be finite, got {nan}", path="--nan")
    return value
