"""``medssl convert``: one scan or label to another format, with every check of reading."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medssl.volume import Volume


def convert(
    src: str | Path,
    dst: str | Path,
    *,
    series: int | str | None = None,
    volume: int | None = None,
    prefer: str | None = None,
    nan: float | str | None = None,
    allow_gaps: bool = False,
    suv: bool = False,
    like: str | Path | None = None,
    segment: int | str | None = None,
    threshold: float | None = None,
    resample: bool = False,
) -> dict[str, Any]:
    """Read one scan and write it as ``.nii.gz``, ``.nii``, ``.mha``, ``.nrrd`` or ``.npz``.

    A DICOM segmentation or structure set becomes a label map; so does any label map where ``like`` is given.

    Args:
        src: a file or DICOM folder.
        dst: the file to write; its suffix names the format.
        series: which one of a DICOM folder with several.
        volume: which one of a 4D file, from 0.
        prefer: ``sform`` or ``qform``, where the two disagree.
        nan: put in the place of NaN and infinity: a number, or ``fill=V``.
        allow_gaps: resample over missing DICOM slices.
        suv: a DICOM PET in standardised uptake values by body weight.
        like: the scan on whose grid a label map is given; contours need it.
        segment: one segment alone of a DICOM label, by number or name.
        threshold: from which share on a voxel of a fractional segmentation counts.
        resample: take a label map on another grid by nearest neighbour.

    Returns:
        What was written: path, shape, channels, dtype, spacing, orientation, modality, flags; ``units`` where they are
        known; ``segments`` of a label map: ``number``, ``name``, ``voxels`` and ``ml`` of each.

    Raises:
        MedsslError: the source is refused, or the target cannot be written.
    """
    from medssl.io.read import check_arguments, is_label, read
    from medssl.io.write import check_target, write

    source, fill = Path(src), _fill(nan)
    check_arguments(source, prefer, fill)
    check_target(dst, [src] if like is None else [src, like])
    if like is None and not is_label(source):
        _refuse({"segment": segment, "threshold": threshold, "resample": resample or None}, "labels", source)
        scan = read(src, series=series, volume=volume, prefer=prefer, nan_fill=fill, allow_gaps=allow_gaps, suv=suv)
        write(scan, dst)
        return _written(src, dst, scan)
    asked = {"series": series, "volume": volume, "prefer": prefer, "nan": nan}
    _refuse({**asked, "allow-gaps": allow_gaps or None, "suv": suv or None}, "scans", source)
    return _label(src, dst, like, segment, threshold, resample)


def _label(
    src: str | Path,
    dst: str | Path,
    like: str | Path | None,
    segment: int | str | None,
    threshold: float | None,
    resample: bool,
) -> dict[str, Any]:
    from medssl.io.read import names_of, read_label
    from medssl.io.write import write

    label = read_label(src, like, segment=segment, threshold=threshold, resample=resample)
    write(label, dst)
    return {**_written(src, dst, label), "segments": _segments(label, names_of(Path(src)), segment)}


def _written(src: str | Path, dst: str | Path, scan: Volume) -> dict[str, Any]:
    units = scan.tags.get("units")
    return {
        "source": str(src),
        "written": str(dst),
        "shape": list(scan.shape),
        "channels": int(scan.data.shape[0]),
        "dtype": str(scan.data.dtype),
        "spacing_mm": [round(value, 6) for value in scan.spacing_mm],
        "orientation": scan.orientation,
        "modality": scan.tags.get("modality", ""),
        **({"units": units} if units else {}),
        "flags": list(scan.flags),
    }


def _segments(label: Volume, names: dict[int, str], segment: int | str | None) -> list[dict[str, Any]]:
    """Every declared segment and every value found, with its size; a segment without voxels too."""
    import numpy as np

    values, counts = (array.tolist() for array in np.unique(label.data, return_counts=True))
    found = {value: count for value, count in zip(values, counts, strict=True) if value}
    listed = sorted({*found, *(names if segment is None else ())})
    ml = abs(float(np.linalg.det(label.affine[:3, :3]))) / 1000
    return [
        {
            "number": number,
            "name": names.get(number, ""),
            "voxels": found.get(number, 0),
            "ml": round(found.get(number, 0) * ml, 6),
        }
        for number in listed
    ]


def _refuse(given: dict[str, Any], kind: str, src: Path) -> None:
    from medssl.errors import UsageError

    for name, value in given.items():
        if value is not None:
            raise UsageError(f"--{name} is for {kind}", path=src)


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
