"""What pretraining and fine-tuning share: from a checked recipe and a method to a trained one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from medssl.commands.preflight import check_data, refuse_settings
from medssl.commands.runs import CHECKPOINTS, METRICS, RECIPE, Progress, is_first_process, write_recipe
from medssl.loading.data import Data
from medssl.methods.contract import Method
from medssl.methods.roles import planned_stages
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
        progress: told after every step; its method ``note``, where it has one, is told of signs of a collapse.

    Returns:
        What ``fit`` says the run took, with the method's own notes on what is doubtful.

    Raises:
        InputError: there are fewer patients than the method needs (``too-few``).
        RecipeError: a batch holds fewer than that, or settings cannot work with one another or with these data.
    """
    refuse_settings(asked, method)
    notes = check_data(asked, method, store, name, asked.data.manifest)
    # imported here: Lightning takes seconds, and a recipe that does not fit should say so at once
    from medssl.training.fit import fit

    def tell(done: int, total: int, stage: str) -> None:
        progress(done, total, name if stage == "main" else f"{name}: {stage}")

    with _all_or_nothing(out):
        write_recipe(out, asked)
        note = getattr(progress, "note", None)
        plan = _plan(asked, method, store)
        took = fit(method, store, plan, out, resume=resume, progress=tell, note=note)
    return {**took, "notes": [*notes, *took["notes"]]}


def _plan(asked: TrainingRecipe, method: Method, store: Store) -> Plan:
    return Plan(
        stages=planned_stages(method, asked.optim.steps, asked.views),
        optim=asked.optim,
        hardware=asked.hardware,
        keep=asked.keep,
        seed=asked.seed,
        workers=asked.data.workers,
        take=asked.data.take,
        augment_on=asked.views.augment_on,
        recipe={"recipe": to_plain(asked), "manifest": store.manifest_digest},
    )


@contextmanager
def _all_or_nothing(out: Path) -> Iterator[None]:
    """Take away what a run wrote that fails before its first step is done: with the recipe mended it starts again."""
    before = {path.name for path in out.iterdir()} if out.is_dir() else set()
    try:
        yield
    except Exception:
        if is_first_process() and not any((out / name).exists() for name in (METRICS, CHECKPOINTS)):
            if RECIPE not in before:
                (out / RECIPE).unlink(missing_ok=True)
            for name in {"pictures", "tensorboard"} - before:
                shutil.rmtree(out / name, ignore_errors=True)
            with suppress(OSError):
                out.rmdir()
        raise


def card_of(asked: TrainingRecipe, took: Mapping[str, Any], init: str) -> dict[str, Any]:
    """Facts of a run for the card of its weights."""
    return {"steps": took["steps"], "seconds": took["seconds"], "init": init, "seed": asked.seed}
