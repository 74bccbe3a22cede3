"""What the store does to every scan, and what weights must therefore say about their input."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from medssl.errors import RecipeError

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class StoreSettings:
    """The deterministic part of preparation.

    Args:
        orientation: three letters, the sides towards which i, j and k grow.
        spacing_mm: voxel size to resample to, ``"median"`` for the median over the manifest, None to keep each
            scan's own.
        window_hu: values that become 0 and 1, for CT and for rows without modality. None: percentiles there too.
        percentiles: percentiles of the values in the body's box that become 0 and 1, for all other rows.
        zscore: in their place mean ∓ this many standard deviations of the values in the body's box.
        n4: correct the bias field of MR (rows whose modality is named and not CT, PET or the like) before anything
            else.
        suv: PET (rows of modality PT) in uptake values by body weight; needs its DICOM.

    Raises:
        RecipeError: a value is out of range.
    """

    orientation: str = "RAS"
    spacing_mm: Triple | Literal["median"] | None = None
    window_hu: tuple[float, float] | None = None
    percentiles: tuple[float, float] = (0.5, 99.5)
    zscore: float | None = None
    n4: bool = False
    suv: bool = False

    def __post_init__(self) -> None:
        sides = sorted("LR PA IS".index(letter) // 3 for letter in self.orientation if letter in "LRPAIS")
        if sides != [0, 1, 2] or len(self.orientation) != 3:
            raise RecipeError(f"orientation must name one side of each axis, as in RAS, got {self.orientation!r}")
        _check_spacing(self.spacing_mm)
        if self.window_hu is not None and not (_finite(self.window_hu, 2) and self.window_hu[0] < self.window_hu[1]):
            raise RecipeError(f"window_hu must be two rising numbers, got {self.window_hu}")
        low, high = self.percentiles if len(self.percentiles) == 2 else (math.nan, math.nan)
        if not 0 <= low < high <= 100:
            raise RecipeError(f"percentiles must be two rising numbers from 0 to 100, got {self.percentiles}")
        if self.zscore is not None and not (math.isfinite(self.zscore) and self.zscore > 0):
            raise RecipeError(f"zscore must be a number of standard deviations above 0, got {self.zscore}")

    def windowed(self, modality: str) -> bool:
        """Whether ``window_hu`` applies to a row of this modality."""
        return self.window_hu is not None and modality.strip().upper() in ("", "CT")

    def uptake(self, modality: str) -> bool:
        """Whether a row of this modality is read in uptake values."""
        return self.suv and modality.strip().upper() in ("PT", "PET")

    def with_spacing(self, spacing_mm: Triple) -> StoreSettings:
        """The settings with the median's numbers in place of the word."""
        return replace(self, spacing_mm=spacing_mm)

    def contract(self) -> dict[str, Any]:
        """Plain data: the input contract that weights carry.

        Example:
            >>> StoreSettings(window_hu=(-175, 250)).contract()
            {'orientation': 'RAS', 'spacing_mm': None, 'window_hu': [-175.0, 250.0], 'percentiles': [0.5, 99.5],
             'zscore': None, 'n4': False, 'suv': False}
        """
        spacing: Any = self.spacing_mm
        if spacing is not None and spacing != "median":
            spacing = [float(length) for length in spacing]
        window = None if self.window_hu is None else [float(value) for value in self.window_hu]
        return {
            "orientation": self.orientation,
            "spacing_mm": spacing,
            "window_hu": window,
            "percentiles": [float(value) for value in self.percentiles],
            "zscore": None if self.zscore is None else float(self.zscore),
            "n4": self.n4,
            "suv": self.suv,
        }

    @classmethod
    def from_contract(cls, data: dict[str, Any]) -> StoreSettings:
        """The settings that ``contract`` wrote; other keys are left alone."""
        spacing = data.get("spacing_mm")
        window = data.get("window_hu")
        low, high = data.get("percentiles") or (0.5, 99.5)
        return cls(
            orientation=data.get("orientation", "RAS"),
            spacing_mm=tuple(spacing) if isinstance(spacing, list | tuple) else spacing,
            window_hu=None if window is None else (window[0], window[1]),
            percentiles=(low, high),
            zscore=data.get("zscore"),
            n4=bool(data.get("n4", False)),
            suv=bool(data.get("suv", False)),
        )


def _check_spacing(spacing: Triple | str | None) -> None:
    if spacing is None or spacing == "median":
        return
    if isinstance(spacing, str) or not _finite(spacing, 3) or min(spacing) <= 0:
        raise RecipeError(f"spacing_mm must be three lengths above 0, median or null, got {spacing!r}")


def _finite(values: tuple[float, ...], count: int) -> bool:
    return len(values) == count and all(math.isfinite(value) for value in values)
