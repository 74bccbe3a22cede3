"""The own grid of a DICOM segmentation: from its first plane to its last one, empty planes between included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.io.formats.nifti_affine import is_sheared
from medssl.io.labels.seg import Seg


def own_grid(seg: Seg) -> tuple[NDArray[np.float64], tuple[int, int, int], tuple[str, ...]]:
    """Affine, shape and flags of a segmentation's own grid: from its first plane to its last one.

    Raises:
        InputError: ``slices`` or ``geometry``: its planes do not lie on one line at whole steps.
    """
    first = seg.planes[0].across
    if any(np.abs(plane.across[:, :2] - first[:, :2]).max() > 1e-4 for plane in seg.planes):
        raise InputError("its planes have several orientations or spacings", path=seg.path, code="geometry")
    normal = np.cross(first[:3, 0], first[:3, 1])
    normal /= np.linalg.norm(normal)
    places = np.stack([plane.across[:3, 2] for plane in seg.planes])
    along = places @ normal
    order = np.argsort(along, kind="stable")
    low, high = int(order[0]), int(order[-1])
    step_mm = _step(np.diff(along[order]), np.linalg.norm(np.diff(places[order], axis=0), axis=1), seg)
    at = (along - along[low]) / step_mm
    count = round(float(at[high])) + 1
    step = (places[high] - places[low]) / (count - 1) if count > 1 else normal * step_mm
    off = np.abs(places - (places[low] + np.rint(at)[:, None] * step)).max()
    if off > max(0.01, 0.01 * step_mm):
        raise InputError(f"its planes lie up to {off:.3g} mm beside one line", path=seg.path, code="slices")
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 2], affine[:3, 3] = first[:3, :2], step, places[low]
    shape = (seg.pixels.columns, seg.pixels.rows, count)
    return affine, shape, ("sheared",) if is_sheared(affine) else ()


def _step(gaps: NDArray[np.float64], distances: NDArray[np.float64], seg: Seg) -> float:
    """Millimetres from plane to plane along the normal; empty planes may have been left out.

    Args:
        gaps: along the normal.
        distances: between the planes' first pixels, which are longer where the planes are tilted.
        seg: what it declares is believed where it divides either.
    """
    apart = gaps > 1e-3
    gaps, distances = gaps[apart], distances[apart]
    declared = seg.planes[0].between_mm
    if not gaps.size:
        alone = declared or seg.planes[0].thick_mm
        if not alone:
            raise InputError("a single plane, and SpacingBetweenSlices is missing", path=seg.path, code="geometry")
        return alone
    for step, lengths in ((declared, gaps), (declared, distances), (float(gaps.min()), gaps)):
        times = np.rint(lengths / step) if step else np.zeros(1)
        if times.min() >= 1 and (np.abs(lengths / step - times) <= np.minimum(0.01 + 0.01 * times, 0.25)).all():
            return float(gaps.sum() / times.sum())
    raise InputError(
        f"its planes lie at uneven steps, {gaps.min():.4g} to {gaps.max():.4g} mm", path=seg.path, code="slices"
    )
