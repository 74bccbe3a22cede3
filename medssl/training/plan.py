"""How a method is trained: what the recipe says, ready for ``fit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from medssl.loading.plan import Stage
from medssl.training.hardware import Hardware
from medssl.training.optimizers import Optim

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all and what is being done."""


@dataclass(frozen=True)
class Keep:
    """What a recipe says about what a run leaves (``keep:``).

    Args:
        checkpoint_every: steps from one checkpoint to the next.
        pictures_every: steps from one set of pictures to the next; 0 makes none.
        checkpoints: how many of the last checkpoints stay.
        tensorboard: whether the numbers are written for TensorBoard too.
        health_every: steps from one look at the run's health to the next; 0 never looks.
    """

    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    pictures_every: Annotated[int, Field(ge=0)] = 500
    checkpoints: Annotated[int, Field(ge=2)] = 2
    tensorboard: bool = True
    health_every: Annotated[int, Field(ge=0)] = 25


@dataclass(frozen=True)
class Plan:
    """How a method is trained.

    Args:
        stages: as ``Method.stages`` gives them.
        optim: optimizer, learning rate, steps and batch.
        hardware: devices and precision.
        keep: what is left behind.
        seed: the run's seed.
        workers: loading processes a training process; they change nothing in the numbers.
        take: ``patients`` or ``scans``: how stages without a sampler of their own choose.
        augment_on: ``loader`` or ``device``: where views' values are changed.
        recipe: plain data that must be the same for a run to go on (the recipe, and digests of the data).
    """

    stages: tuple[Stage, ...]
    optim: Optim = field(default_factory=Optim)
    hardware: Hardware = field(default_factory=Hardware)
    keep: Keep = field(default_factory=Keep)
    seed: int = 0
    workers: int = 0
    take: Literal["patients", "scans"] = "patients"
    augment_on: Literal["loader", "device"] = "loader"
    recipe: Mapping[str, Any] = field(default_factory=dict)
