"""Dice of label maps, per class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError


def dice_scores(prediction: NDArray[Any], label: NDArray[Any], classes: Mapping[int, str]) -> dict[str, float]:
    """Dice ``2 |P ∩ L| / (|P| + |L|)`` of every named class but 0, through MONAI's metric.

    A class that the label map does not hold has no Dice: NaN, whatever was predicted.

    Args:
        prediction: label map of any shape, whole numbers.
        label: the reference, of the same shape.
        classes: value to name.

    Raises:
        InputError: the shapes differ (``label``).

    Example:
        >>> scores = dice_scores(np.array([[[1, 1, 0]]]), np.array([[[1, 0, 0]]]), {0: "background", 1: "a", 2: "b"})
        >>> round(scores["a"], 3), scores["b"]
        (0.667, nan)
    """
    if prediction.shape != label.shape:
        raise InputError(
            f"expected a prediction of the label's shape {label.shape}, got {prediction.shape}", code="label"
        )
    import torch
    from monai.metrics.meandice import compute_dice

    out = {}
    for value, name in classes.items():
        if value == 0:
            continue
        # class by class, so that no one-hot copy of the whole scan is made
        pair = [
            torch.from_numpy((volume == value).reshape(1, 1, -1).astype(np.uint8)) for volume in (prediction, label)
        ]
        out[name] = float(compute_dice(*pair, include_background=True, ignore_empty=True)[0, 0])
    return out
