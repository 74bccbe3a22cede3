"""DICOM tags as checked numbers: what is missing, not a number or out of range is refused by tag name and file."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError

COSINE_TOLERANCE = 1e-3
MIN_SPACING_MM, MAX_SPACING_MM = 1e-5, 1e4
MAX_RESCALE = 1e30
"""A greater slope or intercept would leave what float32 holds."""


def text(dataset: Any, keyword: str) -> str:
    """A tag as text, empty when it is absent; several values are joined by a backslash."""
    value = raw(dataset, keyword)
    if value is None:
        return ""
    if isinstance(value, str | bytes | int | float):
        return str(value).strip()
    try:
        return "\\".join(str(part).strip() for part in value)
    except TypeError:
        return str(value).strip()


def raw(dataset: Any, keyword: str) -> Any:
    """A tag's value, or None when it is absent, empty or cannot be parsed."""
    try:
        value = dataset.get(keyword)
    except Exception:
        # a tag is parsed when it is first used, and a hostile one provokes anything, struct.error too
        return None
    return None if value is None or value == "" else value


def numbers(dataset: Any, keyword: str, count: int, path: Path) -> NDArray[np.float64]:
    """A tag as ``count`` finite numbers.

    Raises:
        InputError: ``geometry``, with the tag's name.
    """
    value = raw(dataset, keyword)
    if value is None:
        raise InputError(f"{keyword} is missing, empty or not a number", path=path, code="geometry")
    parts = [value] if isinstance(value, str | float | int) else list(value)
    try:
        out = [float(part) for part in parts]
    except (TypeError, ValueError) as error:
        raise InputError(f"{keyword} is not a number", path=path, code="geometry") from error
    if len(out) != count:
        raise InputError(f"{keyword} must have {count} numbers, got {len(out)}", path=path, code="geometry")
    if not all(map(math.isfinite, out)):
        raise InputError(f"{keyword} has numbers that are not finite (NaN or Inf)", path=path, code="geometry")
    if any("_" in getattr(part, "original_string", "") for part in parts):
        # 1_0 is ten to Python and nothing to DICOM
        raise InputError(f"{keyword} is not a number", path=path, code="geometry")
    return np.array(out)


def orientation(dataset: Any, path: Path) -> NDArray[np.float64]:
    """ImageOrientationPatient as two unit vectors ``(2, 3)``: along a row, along a column.

    Raises:
        InputError: ``geometry``: they are not of length 1 or not perpendicular.
    """
    return _directions(tuple(numbers(dataset, "ImageOrientationPatient", 6, path).tolist()), path)


def _directions(six: tuple[float, ...], path: Path) -> NDArray[np.float64]:
    try:
        return _unit_vectors(six)
    except InputError as error:
        raise InputError(error.reason, path=path, code=error.code) from None


@lru_cache(maxsize=256)
def _unit_vectors(six: tuple[float, ...]) -> NDArray[np.float64]:
    """Slices of a series share their orientation, and then this array too."""
    out = np.array(six).reshape(2, 3)
    lengths = np.linalg.norm(out, axis=1)
    if np.abs(lengths - 1).max() > COSINE_TOLERANCE:
        raise InputError(
            f"ImageOrientationPatient: direction cosines have length {lengths[0]:.4g} and {lengths[1]:.4g}, expected 1",
            code="geometry",
        )
    out = np.asarray(out / lengths[:, None], dtype=np.float64)
    if abs(float(out[0] @ out[1])) > COSINE_TOLERANCE:
        angle = float(np.degrees(np.arccos(np.clip(out[0] @ out[1], -1, 1))))
        raise InputError(
            f"ImageOrientationPatient: row and column direction are not orthogonal ({angle:.2f} degrees apart)",
            code="geometry",
        )
    out.flags.writeable = False
    return out


def pixel_spacing(dataset: Any, path: Path) -> NDArray[np.float64]:
    """PixelSpacing: millimetres between rows, between columns; both positive."""
    out = numbers(dataset, "PixelSpacing", 2, path)
    if out.min() <= 0:
        raise InputError(f"PixelSpacing must be positive, got {out.tolist()}", path=path, code="geometry")
    if out.min() < MIN_SPACING_MM or out.max() > MAX_SPACING_MM:
        raise InputError(
            f"PixelSpacing must be from {MIN_SPACING_MM} to {MAX_SPACING_MM} mm, got {out.tolist()}",
            path=path,
            code="geometry",
        )
    return _spacings((float(out[0]), float(out[1])))


@lru_cache(maxsize=256)
def _spacings(pair: tuple[float, float]) -> NDArray[np.float64]:
    out = np.array(pair)
    out.flags.writeable = False
    return out


def rescale(dataset: Any, path: Path) -> tuple[float, float]:
    """RescaleSlope and RescaleIntercept, 1 and 0 when both are absent.

    Raises:
        InputError: ``values``: the slope is 0 or not finite, or one of the two is missing.
    """
    has = ["RescaleSlope" in dataset, "RescaleIntercept" in dataset]
    if not any(has):
        return 1.0, 0.0
    try:
        slope = float(numbers(dataset, "RescaleSlope", 1, path)[0])
        intercept = float(numbers(dataset, "RescaleIntercept", 1, path)[0])
    except InputError as error:
        raise InputError(error.reason, path=path, code="values") from error
    if slope == 0:
        raise InputError("RescaleSlope is 0: every voxel would be equal", path=path, code="values")
    for keyword, value in (("RescaleSlope", slope), ("RescaleIntercept", intercept)):
        if abs(value) > MAX_RESCALE:
            raise InputError(f"{keyword} is {value:.3g}, at most ±{MAX_RESCALE:.0e}", path=path, code="values")
    return slope, intercept


def whole(dataset: Any, keyword: str, path: Path) -> int:
    """A tag as one positive whole number."""
    value = raw(dataset, keyword)
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{keyword} is missing or not a positive number", path=path, code="corrupt")
    return int(value)
