"""Frozen probes: how well a linear classifier tells classes apart from what an encoder says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medssl.encoders.contract import Encoder
from medssl.errors import InputError
from medssl.evaluation.probe_crops import ProbeCrops
from medssl.evaluation.probe_features import pooled_features, voxel_features

Kind = Literal["pooled", "voxel"]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a probe said of test crops or voxels.

    Args:
        predicted: ``(n,)`` class.
        truth: ``(n,)`` class.
        patients: ``(n,)`` whose each one is.
    """

    predicted: Numbers
    truth: Numbers
    patients: Numbers

    @property
    def balanced_accuracy(self) -> float:
        """The mean over classes of the share of their rows that were recognised.

        Example:
            >>> rows = np.array([1, 1, 1, 2]), np.array([1, 1, 2, 2]), np.array([0, 0, 0, 0])
            >>> Answers(*rows).balanced_accuracy
            0.75
        """
        right = self.predicted == self.truth
        return float(np.mean([right[self.truth == value].mean() for value in np.unique(self.truth)]))


def probe(encoder: Encoder, train: ProbeCrops, test: ProbeCrops, kind: Kind = "pooled") -> Answers:
    """Fit a linear classifier on the frozen encoder's features of ``train`` and ask it about ``test``.

    Args:
        encoder: is not changed.
        train: crops of some patients.
        test: crops of others.
        kind: ``pooled``: a row is a crop, its features the pooled vector, its class that of the middle voxel;
            ``voxel``: a row is a voxel, its features all levels of the pyramid there.

    Raises:
        InputError: a patient stands on both sides (``manifest-leak``), or there is one class only (``too-few``).
    """
    both = np.intersect1d(train.patients, test.patients)
    if len(both):
        raise InputError(
            f"{len(both)} patients stand on both sides of a probe",
            code="manifest-leak",
            hint="split by patient: medssl manifest split",
        )
    if kind == "pooled":
        rows = [pooled_features(encoder, side.images) for side in (train, test)]
        known, truth, patients = train.classes, test.classes, test.patients
    else:
        rows = [voxel_features(encoder, side.images, side.places) for side in (train, test)]
        known, truth = train.voxel_classes.ravel(), test.voxel_classes.ravel()
        patients = np.repeat(test.patients, test.voxel_classes.shape[1])
    return Answers(linear_classes(rows[0], known, rows[1]), truth, patients)


def linear_classes(
    train: NDArray[np.float32], classes: Numbers, test: NDArray[np.float32], strength: float = 1.0
) -> Numbers:
    """The classes that logistic regression gives to rows, after features are standardised by the training rows.

    Classes weigh alike, however many rows they have.

    Args:
        train: ``(n, d)``.
        classes: ``(n,)``.
        test: ``(m, d)``.
        strength: inverse of the weight of the squared norm (scikit-learn's ``C``).

    Raises:
        InputError: one class only (``too-few``), or a feature is not finite (``values``).

    Example:
        >>> rows = np.array([[0.0], [1.0], [9.0], [10.0]], dtype=np.float32)
        >>> linear_classes(rows, np.array([3, 3, 5, 5]), np.array([[2.0], [8.0]], dtype=np.float32)).tolist()
        [3, 5]
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(classes)) < 2:
        raise InputError(f"a probe needs two classes, got only {np.unique(classes).tolist()}", code="too-few")
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise InputError("the encoder gives features that are not finite", code="values")
    mean, spread = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    # a feature that never changes says nothing
    scale = np.where(spread > 1e-8, 1 / np.maximum(spread, 1e-8), 0.0)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
    model.fit((train - mean) * scale, classes)
    found: Numbers = model.predict((test - mean) * scale)
    return found
