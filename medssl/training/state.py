"""What a run must remember to go on exactly, and whether it may go on at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.optim import Optimizer

from medssl.errors import InputError, UsageError
from medssl.loading.plan import Survey
from medssl.methods.contract import Method
from medssl.training.checkpoint import plain_state

FREE = ("out", "data.workers", "data.store", "data.manifest", "data.root", "keep")
"""Keys of a recipe that change nothing in the numbers: a run may go on with others. (The data's digest stands beside
the recipe.)"""


@dataclass
class RunState:
    """Where a run stands.

    Args:
        step: optimizer steps done, over all stages.
        stage: name of the stage that ``optimizer`` and ``scaler`` belong to.
        optimizer: state of the optimizer, or empty where the stage has not begun.
        scaler: state of the gradient scaler of mixed precision.
        surveys: stage name to what its survey left.
        counts: plain numbers: skipped steps, seconds, seconds waited.
        health: what the run's health must remember.
    """

    step: int = 0
    stage: str = ""
    optimizer: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    surveys: dict[str, Survey] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)

    def take(self, step: int, stage: str, optimizer: Optimizer | None, scaler: Any) -> None:
        """Note where the run stands now."""
        self.step, self.stage = step, stage
        self.optimizer = optimizer.state_dict() if optimizer is not None else {}
        self.scaler = scaler.state_dict() if scaler is not None else {}

    def to_plain(self, method: Method, recipe: Mapping[str, Any], world: int) -> dict[str, Any]:
        """The content of a checkpoint."""
        return {
            "stage": self.stage,
            "method": plain_state(method.state_dict()),
            "optimizer": self.optimizer,
            "scaler": self.scaler,
            "surveys": self.surveys,
            "counts": self.counts,
            "health": self.health,
            "recipe": json.dumps(recipe),
            "world": world,
        }


def restore(data: Mapping[str, Any], method: Method, recipe: Mapping[str, Any], world: int) -> RunState:
    """Load a checkpoint into the method and give the rest.

    Raises:
        UsageError: the recipe, the data or the number of processes changed (``resume``).
        InputError: the checkpoint belongs to another method (``checkpoint``).
    """
    before = {"recipe": json.loads(data["recipe"]), "processes": data["world"]}
    changed = differences(before, {"recipe": json.loads(json.dumps(recipe)), "processes": world})
    if changed:
        raise UsageError(
            f"the run cannot go on, {len(changed)} setting{'s' * (len(changed) > 1)} changed: {'; '.join(changed)}",
            code="resume",
            hint="go on with the recipe.yaml of the run folder, or choose another `out`",
        )
    try:
        method.load_state_dict(data["method"])
    except RuntimeError as error:
        raise InputError(f"does not fit the method: {error}", code="checkpoint") from error
    return RunState(
        data["step"],
        data["stage"],
        data["optimizer"],
        data["scaler"],
        {name: dict(survey) for name, survey in data["surveys"].items()},
        dict(data["counts"]),
        # checkpoints of before had none
        dict(data.get("health", {})),
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], at: str = "") -> list[str]:
    """What differs between two plain mappings, by key, except for the keys in ``FREE``.

    Example:
        >>> differences({"recipe": {"out": "a", "seed": 0}}, {"recipe": {"out": "b", "seed": 1}})
        ['seed was 0, is 1']
    """
    found: list[str] = []
    for key in [*before, *(key for key in now if key not in before)]:
        path = f"{at}{key}" if at or key != "recipe" else ""
        old, new = before.get(key), now.get(key)
        if path in FREE or old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{path}." if path else "")
        else:
            found.append(f"{path} was {_short(old)}, is {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
