"""One scan from the reader's volume to what the store keeps, and to what prediction feeds a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.store.body import body_box
from medssl.store.body_mask import body_cells
from medssl.store.intensity import value_range
from medssl.store.n4 import corrected, corrects
from medssl.store.points import small_labels
from medssl.store.resample import resample
from medssl.store.settings import StoreSettings
from medssl.volume import Volume, reorient

LABEL_TOLERANCE_MM = 1e-3


@dataclass(frozen=True, eq=False)
class Processed:
    """A scan in canonical orientation and spacing.

    Args:
        image: voxels in their own unit; its affine is the stored one.
        label: ``(1, i, j, k)`` uint8 or uint16 on the image's grid, or None.
        low: the value that becomes 0 for the network.
        high: the value that becomes 1.
        body: ``(2, 3)`` box of the body in stored voxels.
        cells: coarse mask of the body, see ``body_mask``.
    """

    image: Volume
    label: NDArray[Any] | None
    low: float
    high: float
    body: NDArray[np.int64]
    cells: NDArray[np.bool_]

    def normalized(self) -> NDArray[np.float32]:
        """The image as the network sees it: ``clip((v − low) / (high − low), 0, 1)`` float32 ``(C, i, j, k)``."""
        scaled = (self.image.data.astype(np.float32) - np.float32(self.low)) / np.float32(self.high - self.low)
        out: NDArray[np.float32] = np.clip(scaled, 0.0, 1.0)
        return out


def process(volume: Volume, settings: StoreSettings, label: Volume | None = None, modality: str = "") -> Processed:
    """Orient, resample and measure a scan; the same for training data and for a new scan at prediction.

    Args:
        volume: as the reader gives it.
        settings: with the spacing in numbers (the word ``median`` must have been resolved).
        label: its label map on the same grid.
        modality: of the row; with ``settings`` it decides between the HU window and percentiles.

    Raises:
        InputError: values are not finite, or the label map does not fit (``values``, ``label``).

    Example:
        >>> scan = Volume(np.arange(8, dtype=np.int16).reshape(1, 2, 2, 2), np.diag([-1.0, -1.0, 1.0, 1.0]))
        >>> done = process(scan, StoreSettings(window_hu=(0, 7)), modality="CT")
        >>> done.image.orientation, float(done.normalized()[0, 0, 0, 1])
        ('RAS', 1.0)
    """
    if 0 in volume.data.shape:
        raise InputError(f"a scan must have voxels, got shape {volume.data.shape}", code="values")
    if volume.data.dtype.kind == "f" and not np.isfinite(volume.data).all():
        raise InputError("voxel values must be finite", code="values")
    mask = None if label is None else _on_grid_of(volume, label)
    if settings.n4 and corrects(modality):
        volume = corrected(volume)
    image = reorient(volume, settings.orientation)
    mask = None if mask is None else reorient(mask, settings.orientation)
    if settings.spacing_mm == "median":
        raise ValueError("the median spacing must be resolved to numbers before a scan is processed")
    if settings.spacing_mm is not None:
        image = resample(image, settings.spacing_mm)
        mask = None if mask is None else resample(mask, settings.spacing_mm, labels=True)
    body = body_box(image.data)
    low, high = value_range(image.data, body, settings, modality)
    label_data = None if mask is None else np.ascontiguousarray(mask.data)
    return Processed(image, label_data, low, high, body, body_cells(image.data))


def _on_grid_of(volume: Volume, label: Volume) -> Volume:
    if label.shape != volume.shape:
        raise InputError(f"a label map must have its image's shape {volume.shape}, got {label.shape}", code="label")
    corners = np.array([[0.0] * 3, [n - 1.0 for n in volume.shape]])
    corners = np.stack(np.meshgrid(*corners.T, indexing="ij"), axis=-1).reshape(-1, 3)
    apart = corners @ (label.affine - volume.affine)[:3, :3].T + (label.affine - volume.affine)[:3, 3]
    tolerance = max(LABEL_TOLERANCE_MM, 0.01 * min(volume.spacing_mm))
    if np.abs(apart).max() > tolerance:
        raise InputError(
            f"a label map must lie where its image lies, got corners {np.abs(apart).max():.3g} mm apart", code="label"
        )
    # the image's affine, so that rounding in the label's header cannot part the two
    return Volume(small_labels(label.data), volume.affine)
