"""What a stage of training asks of the loader: which scans, which views, for how many steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from medssl.views.view import Role


class Sampler(Protocol):
    """Which scans a step takes."""

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """``size`` samples, each the positions of one or more scans in the store; a function of its arguments."""
        ...


class ScanIds(Protocol):
    """What a sampler may know: the ids of every scan, in store order."""

    def __len__(self) -> int: ...

    def ids(self, position: int) -> Mapping[str, int]:
        """Names of ``views.view.IDS`` to integers."""
        ...

    def modality(self, position: int) -> str:
        """``CT``, ``MR``, … or empty: to pair the sequences of a study."""
        ...

    def targets(self, position: int) -> Mapping[str, float]:
        """Target columns to numbers: to balance classes."""
        ...


Survey = dict[str, Tensor]
"""Plain tensors that a pass over the data set leaves behind (cluster labels, features); checkpointed."""

MakeSampler = Callable[[ScanIds, Mapping[str, Survey]], Sampler]
"""Builds a sampler from the scans' ids and the surveys of earlier stages."""


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    Args:
        name: also the folder of its checkpoints.
        steps: optimiser steps.
        views: role name to role, in the order in which they are drawn.
        trains: prefixes of parameter names that are trained; everything else is frozen. Empty: all.
        sampler: builds the sampler; None takes scans patient by patient, no patient twice in a batch.
        survey: whether, before the stage, every scan is encoded once and ``Method.survey`` is asked.
        survey_views: the views in which the survey sees a scan; those of the stage by default.
    """

    name: str
    steps: int
    views: Mapping[str, Role]
    trains: tuple[str, ...] = ()
    sampler: MakeSampler | None = None
    survey: bool = False
    survey_views: Mapping[str, Role] | None = None
