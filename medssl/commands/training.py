"""What pretraining and fine-tuning share: from a checked recipe and a method to a trained one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from medssl.commands.runs import Progress, write_recipe
from medssl.loading.data import Data
from medssl.methods.contract import Method
from medssl.recipe import to_plain
from medssl.store.store import Store
from medssl.training.hardware import Hardware
from medssl.training.optimizers import Optim
from medssl.training.plan import Keep, Plan
from medssl.views.settings import ViewSettings


class TrainingRecipe(Protocol):
    """The sections that every training recipe has."""

    @property
    def data(self) -> Data: ...  # noqa: D102

    @property
    def views(self) -> ViewSettings: ...  # noqa: D102

    @property
    def optim(self) -> Optim: ...  # noqa: D102

    @property
    def hardware(self) -> Hardware: ...  # noqa: D102

    @property
    def keep(self) -> Keep: ...  # noqa: D102

    @property
    def seed(self) -> int: ...  # noqa: D102


def train(
    asked: TrainingRecipe, method: Method, store: Store, out: Path, *, name: str, resume: bool, progress: Progress
) -> dict[str, Any]:
    """Write the merged recipe and train ``method`` in place.

    Args:
        asked: the recipe.
        method: what is trained.
        store: on which scans.
        out: the run folder.
        name: of what is trained, for the progress.
        resume: go on where the run stopped.
        progress: told after every step.

    Returns:
        What ``fit`` says the run took.
    """
    # imported here: Lightning takes seconds, and a recipe that does not fit should say so at once
    from medssl.training.fit import fit

    plan = Plan(
        stages=tuple(method.stages(asked.optim.steps, asked.views)),
        optim=asked.optim,
        hardware=asked.hardware,
        keep=asked.keep,
        seed=asked.seed,
        workers=asked.data.workers,
        recipe={"recipe": to_plain(asked), "manifest": store.manifest_digest},
    )
    write_recipe(out, asked)

    def tell(done: int, total: int, stage: str) -> None:
        progress(done, total, name if stage == "main" else f"{name}: {stage}")

    return fit(method, store, plan, out, resume=resume, progress=tell)


def card_of(asked: TrainingRecipe, took: Mapping[str, Any], init: str) -> dict[str, Any]:
    """Facts of a run for the card of its weights."""
    return {"steps": took["steps"], "seconds": took["seconds"], "init": init, "seed": asked.seed}
