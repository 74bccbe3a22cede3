"""What every method declares and does: roles, stages, encode and loss apart, and what is exported.

The trainer does, for each stage: draw the batch that ``views`` declares, ``encode``, ``loss``, backward,
optimiser step, ``after_step``. Because encode and loss are apart, vectors can be gathered across processes,
cached for large batches and watched for collapse, whatever the method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from medssl.errors import UsageError
from medssl.loading.plan import MakeSampler, Sampler, ScanIds, Stage, Survey
from medssl.views.settings import ViewSettings
from medssl.views.view import Batch, Role

__all__ = [
    "Context",
    "EmptyBatchError",
    "Facts",
    "MakeSampler",
    "Method",
    "Sampler",
    "ScanIds",
    "Stage",
    "Survey",
    "Vectors",
    "ViewSettings",
    "alone",
]

Vectors = dict[str, Tensor]
"""What ``encode`` gives: name to a tensor whose first dimension runs over views (so that it can be split)."""


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
        batch: samples of a step, over all processes; 0 where nobody said.
    """

    step: int = 0
    total_steps: int = 1
    stage: str = "main"
    generator: torch.Generator = field(default_factory=torch.Generator)
    gather: Callable[[Tensor], Tensor] = alone
    surveys: Mapping[str, Survey] = field(default_factory=dict)
    batch: int = 0

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        return min(1.0, self.step / max(1, self.total_steps))


@dataclass(frozen=True)
class Facts:
    """What is known of a run before its first step, so that what cannot work is refused then.

    Args:
        scans: in the store.
        patients: known ones among them.
        batch: samples of a step, over all processes.
        steps: of the whole run.
        processes: how many train side by side.
        half: whether networks compute in float16.
        targets: columns of the manifest in which any scan has a value; None where nobody looked.
    """

    scans: int
    patients: int
    batch: int
    steps: int
    processes: int = 1
    half: bool = False
    targets: tuple[str, ...] | None = None


class EmptyBatchError(UsageError):
    """Raised by ``Method.loss`` on every process alike: this batch says nothing; the step is left out and counted."""


class Method(nn.Module, ABC):
    """A way to train an encoder: final classes fill in ``views``, ``encode`` and ``loss``.

    A constructor takes ``encoder`` first and then its settings by keyword; its signature is the recipe's schema.
    Everything that must survive a restart is a parameter, a buffer or a submodule.
    """

    least_patients: ClassVar[int] = 1
    """How many patients a batch needs, over all processes, for there to be something to learn."""

    row_wise: ClassVar[bool] = True
    """Whether ``encode`` treats every sample by itself (batch norms aside), so that it can be done in parts."""

    views_agree: ClassVar[bool] = True
    """Whether views of one sample are meant to be alike; a run's health warns of views that are not only then."""

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

    def survey(self, vectors: Vectors, ids: Mapping[str, Tensor], ctx: Context) -> Survey:
        """Make plain data of a pass over all scans; only asked for where a stage says ``survey=True``.

        Args:
            vectors: what ``encode`` gave for every scan, in store order.
            ids: names of ``views.view.IDS`` to ``(N,)``, in the same order.
            ctx: its ``stage`` is the one that follows, its generator is set by the seed and that stage.
        """
        raise ValueError(f"{type(self).__name__} has no survey for stage {ctx.stage!r}")

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameters with and without weight decay (biases, norms, mask tokens and other vectors have none)."""
        decay = [p for p in self.parameters() if p.requires_grad and p.squeeze().ndim > 1]
        plain = [p for p in self.parameters() if p.requires_grad and p.squeeze().ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decay, "name": "decay"}]
        return [*groups, {"params": plain, "weight_decay": 0.0, "name": "plain"}]

    def check(self, facts: Facts) -> list[str]:
        """Refuse what cannot work with these data, and note what is doubtful, before training starts.

        Raises:
            RecipeError: a setting of the method, by its name.
        """
        return []

    def embedded(self, vectors: Vectors, batch: Batch) -> dict[str, Tensor]:
        """The vectors whose health is watched: role to ``(N, d)``, a row for each of its views.

        Where a view has several vectors that belong together, they are ``(N, E, d)``.
        What ``encode`` names like a role is taken, where it has a vector a view.
        """
        found = {name: vectors[name] for name in batch.roles if name in vectors}
        return {name: rows for name, rows in found.items() if rows.ndim == 2 and len(rows) == len(batch[name])}

    @abstractmethod
    def exported(self) -> dict[str, nn.Module]:
        """What becomes weights: ``encoder`` always; heads by their names beside it."""

    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """Volumes ``(N, C, i, j, k)`` worth looking at, by name (input, masked, rebuilt); none by default."""
        return {}
