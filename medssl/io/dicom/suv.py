"""PET in standardised uptake values by body weight (SUVbw), where the tags allow it.

SUVbw = activity concentration [Bq/ml] · weight [g] / dose [Bq], the dose decayed to the moment to which the image was
corrected. Which tags say so, and what to do when they contradict each other, follows the vendor-neutral procedure of
the QIBA FDG-PET/CT profile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from medssl.errors import InputError
from medssl.io.dicom.files import quiet, read_dataset
from medssl.io.dicom.suv_times import Clock, moment
from medssl.io.dicom.tags import raw, text
from medssl.volume import Volume

UNITS = frozenset("NONE PCT CPS PROPCNTS PROPCPS CM2 CM2ML 1CM MLMINML MLML MLG MGMINML UMOLML STDDEV".split())  # noqa: SIM905
"""Other defined terms of the tag Units; whatever else stands there is not shown."""

DOSE_BQ = (1e5, 1e11)
WEIGHT_KG = (0.01, 700.0)
HALF_LIVES = 20
"""A dose older than this many half-lives has decayed a millionfold: a date is wrong."""

_PHILIPS = "Philips PET Private Group"
_TAGS = [
    "Units",
    "SUVType",
    "DecayCorrection",
    "CorrectedImage",
    "PatientWeight",
    "RadiopharmaceuticalInformationSequence",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "FrameReferenceTime",
    "ActualFrameDuration",
    "TimezoneOffsetFromUTC",
]
_PRIVATE = [0x70530010, 0x70531000, 0x70531009]


@dataclass(frozen=True, eq=False)
class Factor:
    """What turns a slice's values into SUVbw.

    Args:
        value: multiplied with the rescaled values.
        flags: ``suv_acquisition_time``, ``suv_start_day``, ``suv_corrections_unknown``.
    """

    value: float
    flags: tuple[str, ...] = ()


def standardized(scan: Volume, paths: Sequence[Path]) -> Volume:
    """A PET volume in SUVbw.

    Args:
        scan: rescaled slice by slice, in the units of its tag Units.
        paths: its files.

    Returns:
        float32 voxels, the tag ``units: SUVbw`` and the flag ``suv_bw``.

    Raises:
        InputError: ``suv``, naming the tag that is missing, senseless, or differs between slices.
    """
    files = list(dict.fromkeys(paths))
    if scan.tags.get("modality") != "PT":
        raise InputError(
            f"a standardised uptake value is of PET alone, Modality is {scan.tags.get('modality') or 'missing'}",
            path=files[0] if files else None,
            code="suv",
        )
    with quiet():
        headers = [(read_dataset(file, [*_TAGS, *_PRIVATE], stop_before_pixels=True), file) for file in files]
        factor = _factor(headers)
    data = np.multiply(scan.data, np.float32(factor.value), dtype=np.float32)
    return Volume(data, scan.affine, (*scan.flags, "suv_bw", *factor.flags), {**scan.tags, "units": "SUVbw"})


def _factor(headers: Sequence[tuple[Any, Path]]) -> Factor:
    first, path = headers[0]
    for keyword in ("Units", "DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime", "CorrectedImage"):
        _same(headers, keyword)
    units = text(first, "Units").upper()
    if units == "GML":
        kind = text(first, "SUVType").upper()
        if kind not in ("", "BW"):
            raise _bad("SUVType is not BW: another normalisation than body weight", path)
        return Factor(1.0)
    if units == "CNTS":
        return _philips(headers)
    if units != "BQML":
        shown = units if units in UNITS else "missing or no defined term"
        raise _bad(f"Units must be BQML, CNTS or GML, got {shown}", path)
    return _becquerel(headers)


def _philips(headers: Sequence[tuple[Any, Path]]) -> Factor:
    """Counts of a Philips scanner, whose private tags say what one count is."""
    suv = {_private(dataset, 0x70531000) for dataset, _ in headers}
    activity = {_private(dataset, 0x70531009) for dataset, _ in headers}
    path = headers[0][1]
    if len(suv) == 1 and (value := suv.pop()):
        return Factor(value)
    if len(activity) == 1 and (value := activity.pop()):
        decayed = _becquerel(headers)
        return Factor(decayed.value * value, decayed.flags)
    raise _bad("Units is CNTS, and neither (7053,1000) nor (7053,1009) says what a count is", path)


def _private(dataset: Any, tag: int) -> float:
    """A factor in Philips' private block, 0 where it is missing or senseless; nothing else of it is looked at."""
    try:
        if str(dataset[0x70530010].value).strip() != _PHILIPS:
            return 0.0
        value = dataset[tag].value
        number = float(value.decode("ascii").strip("\0 ") if isinstance(value, bytes) else value)
    except (KeyError, TypeError, ValueError, UnicodeDecodeError):
        return 0.0
    return number if math.isfinite(number) and 0 < number < 1e12 else 0.0


def _becquerel(headers: Sequence[tuple[Any, Path]]) -> Factor:
    first, path = headers[0]
    flags = _corrections(first, path)
    weight = _number(first, "PatientWeight", path, WEIGHT_KG, "kg")
    items = list(raw(first, "RadiopharmaceuticalInformationSequence") or [])
    if len(items) != 1:
        raise _bad(f"RadiopharmaceuticalInformationSequence must have one item, got {len(items)}", path)
    dose = _number(items[0], "RadionuclideTotalDose", path, DOSE_BQ, "Bq")
    if text(first, "DecayCorrection").upper() == "ADMIN":
        return Factor(1000 * weight / dose, flags)
    half_life = _number(items[0], "RadionuclideHalfLife", path, (1.0, 1e9), "s")
    clock = Clock.of(headers, half_life)
    start, noted = _start(items[0], clock.scan, text(first, "TimezoneOffsetFromUTC"), path)
    elapsed = (clock.scan - start).total_seconds()
    if not 0 <= elapsed <= HALF_LIVES * half_life:
        raise _bad(
            f"the scan began {elapsed:.0f} s after RadiopharmaceuticalStart(Date)Time, expected 0 to {HALF_LIVES} "
            f"half-lives of {half_life:g} s: a date or time is wrong",
            path,
        )
    return Factor(1000 * weight / (dose * 2 ** (-elapsed / half_life)), (*flags, *clock.flags, *noted))


def _corrections(dataset: Any, path: Path) -> tuple[str, ...]:
    decay = text(dataset, "DecayCorrection").upper()
    if decay not in ("START", "ADMIN"):
        raise _bad(
            f"DecayCorrection must be START or ADMIN, got {decay if decay == 'NONE' else 'something else'}", path
        )
    done = {part.strip() for part in text(dataset, "CorrectedImage").upper().split("\\") if part.strip()}
    lacks = {"ATTN", "DECY"} - done
    if done and lacks:
        raise _bad(f"CorrectedImage lacks {' and '.join(sorted(lacks))}: the image is not quantitative", path)
    return () if done else ("suv_corrections_unknown",)


def _start(item: Any, scan: datetime, zone: str, path: Path) -> tuple[datetime, tuple[str, ...]]:
    """When the dose was measured; of a time without a date the last one before the scan, over midnight too."""
    stamp = text(item, "RadiopharmaceuticalStartDateTime")
    if stamp:
        found = moment(stamp[:8], stamp[8:], zone)
        if found is None:
            raise _bad("RadiopharmaceuticalStartDateTime is no date and time", path)
        return found, ()
    found = moment(scan.strftime("%Y%m%d"), text(item, "RadiopharmaceuticalStartTime"))
    if found is None:
        raise _bad("RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime are missing or no time", path)
    return (found - timedelta(days=1), ("suv_start_day",)) if found > scan else (found, ())


def _number(dataset: Any, keyword: str, path: Path, limits: tuple[float, float], unit: str) -> float:
    value = raw(dataset, keyword)
    try:
        number = float(value) if value is not None else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not limits[0] <= number <= limits[1]:
        # the value itself may be private: a weight is the patient's
        what = "missing or not a number" if math.isnan(number) else "out of range"
        raise _bad(f"{keyword} is {what}, expected {limits[0]:g} to {limits[1]:g} {unit}", path)
    return number


def _same(headers: Sequence[tuple[Any, Path]], keyword: str) -> None:
    first = text(headers[0][0], keyword)
    for dataset, path in headers[1:]:
        if text(dataset, keyword) != first:
            raise _bad(f"{keyword} differs from that of {headers[0][1].name}", path)


def _bad(reason: str, path: Path) -> InputError:
    return InputError(reason, path=path, code="suv")
