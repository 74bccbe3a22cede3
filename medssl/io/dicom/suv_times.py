"""The moment to which a PET image was corrected for decay, from dates and times that may contradict each other."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from medssl.errors import InputError
from medssl.io.dicom.tags import raw, text

_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d{1,6})?([+-]\d{4})?")


@dataclass(frozen=True)
class Clock:
    """When the scan began, as far as decay is concerned.

    Args:
        scan: date and time, never to be output.
        flags: ``suv_acquisition_time`` where SeriesTime could not be used.
    """

    scan: datetime
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, headers: Sequence[tuple[Any, Path]], half_life: float) -> Clock:
        """The clock of a series.

        SeriesTime is the moment, unless the series was made after the acquisition (by reconstruction or processing).
        Then it is counted back from a slice's acquisition: AcquisitionTime − FrameReferenceTime + the time within the
        frame at which the count rate is the frame's mean. Without FrameReferenceTime the first acquisition counts.

        Args:
            headers: datasets with their files.
            half_life: seconds.

        Raises:
            InputError: ``suv``: no date and time.
        """
        taken = [
            (found, dataset)
            for dataset, _ in headers
            if (found := moment(text(dataset, "AcquisitionDate"), text(dataset, "AcquisitionTime")))
        ]
        first, path = headers[0]
        series = moment(text(first, "SeriesDate"), text(first, "SeriesTime"))
        if not taken:
            if series is None:
                raise InputError(
                    "AcquisitionDate, AcquisitionTime, SeriesDate and SeriesTime are missing or no time",
                    path=path,
                    code="suv",
                )
            return cls(series)
        earliest, dataset = min(taken, key=lambda pair: pair[0])
        if series is not None and series <= earliest:
            return cls(series)
        shift = _into_frame(dataset, half_life)
        return cls(earliest if shift is None else earliest + timedelta(seconds=shift), ("suv_acquisition_time",))


def _into_frame(dataset: Any, half_life: float) -> float | None:
    """Seconds from a slice's AcquisitionTime to the reference of its decay correction, or None."""
    try:
        reference = float(raw(dataset, "FrameReferenceTime")) / 1000
        duration = float(raw(dataset, "ActualFrameDuration")) / 1000
    except (TypeError, ValueError):
        return None
    if not (math.isfinite(reference) and math.isfinite(duration) and 0 < duration < 1e6 and reference >= 0):
        return None
    rate = math.log(2) / half_life
    middle = math.log(rate * duration / -math.expm1(-rate * duration)) / rate
    return middle - reference


def moment(date: str, time: str, zone: str = "") -> datetime | None:
    """A DICOM date and time, or None where they are none.

    Args:
        date: ``YYYYMMDD``, with or without dots.
        time: ``HHMMSS.ffffff`` or a part of it, with a zone such as ``+0100`` or without one.
        zone: TimezoneOffsetFromUTC of the data set: a time with another zone is moved there.

    Example:
        >>> moment("20240229", "235959.5")
        datetime.datetime(2024, 2, 29, 23, 59, 59, 500000)
        >>> moment("20240301", "003000+0100", "+0000")
        datetime.datetime(2024, 2, 29, 23, 30)
        >>> moment("20240230", "120000") is None
        True
    """
    day = date.replace(".", "").strip()
    match = _TIME.fullmatch(time.strip())
    if len(day) != 8 or not day.isdigit() or match is None:
        return None
    hours, minutes, seconds, rest, own = match.groups()
    try:
        out = datetime(int(day[:4]), int(day[4:6]), int(day[6:]), int(hours), int(minutes or 0))
    except ValueError:
        return None
    if int(seconds or 0) > 60:
        return None
    out += timedelta(seconds=int(seconds or 0) + float(rest or 0))
    if own and re.fullmatch(r"[+-]\d{4}", zone):
        out -= timedelta(minutes=_minutes(own) - _minutes(zone))
    return out


def _minutes(zone: str) -> int:
    return (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 60 + int(zone[3:5]))
