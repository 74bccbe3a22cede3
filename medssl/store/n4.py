"""N4 bias field correction of MR, by SimpleITK."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.store.body import otsu
from medssl.volume import Volume

SHRINK_TO = 64
"""Voxels along the longest axis of the shrunken scan in which the field is fitted: it is smooth."""

ITERATIONS = (50, 50, 30)
OTHERS = ("CT", "PT", "PET", "NM", "US", "CR", "DX", "XA", "RTDOSE", "SEG")


def corrects(modality: str) -> bool:
    """Whether a modality has a bias field: MR, by whatever name its sequences go; not where nothing is known.

    Example:
        >>> corrects("T1"), corrects("CT"), corrects("")
        (True, False, False)
    """
    name = modality.strip().upper()
    return bool(name) and name not in OTHERS


def corrected(volume: Volume) -> Volume:
    """The scan divided by its bias field (Tustison et al., IEEE Transactions on Medical Imaging 29(6), 2010).

    The field is fitted on a shrunken copy within the voxels above Otsu's threshold, and applied to every voxel. The
    mean within them stays what it was.

    Args:
        volume: ``(C, i, j, k)``; each channel by itself.

    Raises:
        InputError: a channel is constant, or the fit fails (``values``).
    """
    channels = [_corrected(channel) for channel in volume.data]
    return Volume(np.stack(channels), volume.affine, (*volume.flags, "n4"), dict(volume.tags))


def _corrected(data: NDArray[Any]) -> NDArray[np.float32]:
    import SimpleITK as sitk  # noqa: N813

    values = data.astype(np.float32)
    # the logarithm of the field is fitted: values must lie above 0
    lifted = values - min(0.0, float(values.min()))
    inside = lifted > otsu(lifted)
    if not inside.any():
        raise InputError("a constant scan has no bias field to correct", code="values")
    image, mask = sitk.GetImageFromArray(lifted), sitk.GetImageFromArray(inside.astype(np.uint8))
    factors = [max(1, round(n / SHRINK_TO)) for n in image.GetSize()]
    fit = sitk.N4BiasFieldCorrectionImageFilter()
    levels = max(
        1, min(3, int(np.log2(max(2, min(n // f for n, f in zip(image.GetSize(), factors, strict=True)) // 4))))
    )
    fit.SetMaximumNumberOfIterations(list(ITERATIONS[:levels]))
    fit.SetNumberOfThreads(1)
    try:
        fit.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
        field = sitk.GetArrayFromImage(sitk.Exp(fit.GetLogBiasFieldAsImage(image)))
    except RuntimeError as error:
        raise InputError("the bias field cannot be fitted", code="values", hint="prepare it without n4") from error
    out: NDArray[np.float32] = lifted / np.maximum(field, 1e-6)
    out *= float(lifted[inside].mean()) / max(float(out[inside].mean()), 1e-12)
    # threads add in any order: what they change lies far behind what sixteen bits can hold
    return out + np.float32(min(0.0, float(values.min())))
