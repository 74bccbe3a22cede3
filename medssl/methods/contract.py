"""What every method declares and does: roles, stages, encode and loss apart, and what is exported.

The trainer does, for each stage: draw the batch that ``views`` declares, ``encode``, ``loss``, backward,
optimiser step, ``after_step``. Because encode and loss are apart, vectors can be gathered across processes,
cached for large batches and watched for collapse, whatever the method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from medssl.views.view import Batch, Role, Spatial

Vectors = dict[str, Tensor]
"""What ``encode`` gives: name to a tensor whose first dimension runs over views (so that it can be split)."""


@dataclass(frozen=True)
class ViewSettings:
    """What a recipe says about views (``views:``).

    Args:
        crop: voxels of a view along i, j and k.
        scale: smallest and largest share of the crop's length that a view covers (zoom in below 1).
        rotate_deg: largest rotation about each axis.
        flip: chance of a flip along i, j and k. i is left-right: 0 unless laterality does not matter.
        augment: names or ``{name: …, settings}`` of intensity augmentations, in order.
    """

    crop: tuple[int, int, int] = (96, 96, 96)
    scale: tuple[float, float] = (1.0, 1.0)
    rotate_deg: float = 0.0
    flip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    augment: tuple[Any, ...] = ()

    @property
    def spatial(self) -> Spatial:
        """The geometry to draw on top of a crop."""
        return Spatial(flip=self.flip, rotate_deg=self.rotate_deg, scale=self.scale)


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
    """

    name: str
    steps: int
    views: Mapping[str, Role]
    trains: tuple[str, ...] = ()
    sampler: MakeSampler | None = None
    survey: bool = False


def alone(value: Tensor) -> Tensor:
    """The gather of a single process: the value itself."""
    return value


@dataclass
class Context:
    """What a method may know of the run while it works.

    Args:
        step: optimiser steps done, over all stages.
        total_steps: steps of the whole run.
        stage: name of the running stage.
        generator: drawn from by methods that need chance inside ``encode`` or ``loss``; set anew each step.
        gather: rows of all processes in rank order, differentiable (its backward sums over processes).
        surveys: stage name to what its survey left.
    """

    step: int = 0
    total_steps: int = 1
    stage: str = "main"
    generator: torch.Generator = field(default_factory=torch.Generator)
    gather: Callable[[Tensor], Tensor] = alone
    surveys: Mapping[str, Survey] = field(default_factory=dict)

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        return min(1.0, self.step / max(1, self.total_steps))


class Method(nn.Module, ABC):
    """A way to train an encoder: final classes fill in ``views``, ``encode`` and ``loss``.

    A constructor takes ``encoder`` first and then its settings by keyword; its signature is the recipe's schema.
    Everything that must survive a restart is a parameter, a buffer or a submodule.
    """

    @abstractmethod
    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """The roles, in drawing order: a later role's crop may look at the grids of the earlier ones."""

    @abstractmethod
    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """Everything that needs the networks' forward pass; row-wise over views."""

    @abstractmethod
    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss and what to log (scalars); gathers what must be compared across processes."""

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """One stage that trains everything, unless a method says otherwise."""
        return [Stage("main", steps, self.views(settings))]

    def after_step(self, ctx: Context) -> None:
        """Move EMA copies, queues and prototypes; called once per optimiser step."""

    def survey(self, stage: str, vectors: Vectors, ids: Mapping[str, Tensor]) -> Survey:
        """Make plain data of a pass over all scans; only asked for where a stage says ``survey=True``."""
        raise ValueError(f"{type(self).__name__} has no survey for stage {stage!r}")

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters with and without weight decay (biases, norms and other vectors have none)."""
        decay = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decay, "name": "decay"}]
        return [*groups, {"params": plain, "weight_decay": 0.0, "name": "plain"}]

    @abstractmethod
    def exported(self) -> dict[str, nn.Module]:
        """What becomes weights: ``encoder`` always; heads by their names beside it."""

    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """Volumes ``(N, C, i, j, k)`` worth looking at, by name (input, masked, rebuilt); none by default."""
        return {}
