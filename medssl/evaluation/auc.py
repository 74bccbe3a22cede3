"""Area under the ROC curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError


def auc(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Area under the ROC curve; for more than two classes the mean of one against the rest.

    Args:
        scores: ``(n,)`` score of class 1, or ``(n, K)`` probabilities.
        labels: ``(n,)`` classes from 0.

    Raises:
        InputError: there is one class only, or the shapes do not fit (``too-few``, ``label``).

    Example:
        >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
        0.75
    """
    from sklearn.metrics import roc_auc_score

    if len(scores) != len(labels):
        raise InputError(f"expected a score for each of {len(labels)} labels, got {len(scores)}", code="label")
    present = np.unique(labels)
    if len(present) < 2:
        raise InputError(
            f"an AUC needs two classes, got only class {present.tolist()}",
            code="too-few",
            hint="evaluate on scans of both classes",
        )
    if scores.ndim == 1 or scores.shape[1] == 2:
        column = scores if scores.ndim == 1 else scores[:, 1]
        return float(roc_auc_score(labels == present[-1], column))
    # classes that do not occur have no curve
    return float(np.mean([roc_auc_score(labels == value, scores[:, int(value)]) for value in present]))
