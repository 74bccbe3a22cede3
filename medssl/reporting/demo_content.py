"""What the demo hands to its report: plain data, nothing that computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.reporting.body_views import Placed
from medssl.reporting.curves import Series
from medssl.reporting.gallery import Redundant


@dataclass(frozen=True, eq=False)
class InputScan:
    """A scan that the demo started from.

    Args:
        title: its name; no name of a patient.
        image: ``(i, j, k)`` or ``(C, i, j, k)``.
        affine: 4×4, voxel index to RAS millimetres.
        label: ``(i, j, k)`` integers, or None.
        classes: label value to name.
        modality: ``CT``, ``MR`` or empty.
        source: where it comes from and under which licence.
    """

    title: str
    image: NDArray[Any]
    affine: NDArray[np.float64]
    label: NDArray[Any] | None = None
    classes: Mapping[int, str] = field(default_factory=dict)
    modality: str = ""
    source: str = ""


@dataclass(frozen=True)
class PretrainRun:
    """A pretraining run.

    Args:
        name: the method.
        family: ``contrastive``, ``masked`` or ``region``.
        folder: its run folder.
        similarity: positives and negatives over the steps; without it, taken from the run's own numbers.
    """

    name: str
    family: str
    folder: Path
    similarity: tuple[Series, ...] = ()


@dataclass(frozen=True, eq=False)
class ScanViews:
    """The views that one scan gave.

    Args:
        title: the scan and the method.
        image: ``(i, j, k)`` or ``(C, i, j, k)``.
        affine: 4×4, voxel index to RAS millimetres.
        boxes: role to the places of its views (``Box`` or ``Grid``).
        images: role to the views themselves, ``(N, C, i, j, k)``.
        modality: ``CT``, ``MR`` or empty.
    """

    title: str
    image: NDArray[Any]
    affine: NDArray[np.float64]
    boxes: Mapping[str, Sequence[Placed]]
    images: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    modality: str = ""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A prediction on a scan that was not trained on.

    Args:
        case: scan and model.
        image: ``(i, j, k)`` or ``(C, i, j, k)``.
        affine: 4×4, voxel index to RAS millimetres, of image, label and prediction.
        label: ``(i, j, k)`` integers.
        prediction: ``(i, j, k)`` integers.
        dice: class name to Dice.
        modality: ``CT``, ``MR`` or empty.
    """

    case: str
    image: NDArray[Any]
    affine: NDArray[np.float64]
    label: NDArray[Any]
    prediction: NDArray[Any]
    dice: Mapping[str, float] = field(default_factory=dict)
    modality: str = ""


@dataclass(frozen=True)
class Result:
    """A row of the table.

    Args:
        method: the method that pretrained, or a word for none.
        init: where the encoder's weights come from, for example ``pretrained`` or ``from scratch``.
        dice: class name to Dice.
        auc: area under the ROC curve of the classification, or None.
        seconds: time of fine-tuning, or None.
    """

    method: str
    init: str
    dice: Mapping[str, float]
    auc: float | None = None
    seconds: float | None = None

    @property
    def mean_dice(self) -> float:
        """The mean over classes with a number; NaN where there is none.

        Example:
            >>> Result("voco", "pretrained", {"a": 0.2, "b": 0.4, "c": float("nan")}).mean_dice
            0.30000000000000004
        """
        values = [value for value in self.dice.values() if np.isfinite(value)]
        return sum(values) / len(values) if values else float("nan")


@dataclass(frozen=True)
class Cost:
    """What the demo took.

    Args:
        seconds: step of the demo to its seconds, in order.
        peak_memory_bytes: largest memory in use at once.
        data_wait: run to the share of its time spent waiting for data, 0 to 1.
        machine: processor, cores and memory in words.
        versions: package to version.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    data_wait: Mapping[str, float] = field(default_factory=dict)
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DemoContent:
    """Everything on the demo's page; empty parts are left out with a word.

    Args:
        inputs: the scans.
        problems: what the manifest check found, a sentence each.
        left_out: scans that were left out, beside those that stay.
        runs: pretraining runs.
        views: the views of one scan.
        predictions: predictions on scans that were not trained on.
        results: rows of the table.
        classes: label value to name, of the segmentation task.
        cost: time, memory, machine.
        commands: command lines to do the same on one's own data.
        phantoms: whether the scans are drawn by a computer.
        quick: whether this was the short form.
    """

    inputs: Sequence[InputScan] = ()
    problems: Sequence[str] = ()
    left_out: Sequence[Redundant] = ()
    runs: Sequence[PretrainRun] = ()
    views: ScanViews | None = None
    predictions: Sequence[Prediction] = ()
    results: Sequence[Result] = ()
    classes: Mapping[int, str] = field(default_factory=dict)
    cost: Cost = Cost()
    commands: Sequence[str] = ()
    phantoms: bool = False
    quick: bool = False
