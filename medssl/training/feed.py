"""Batches of a stage, drawn for the process that asks."""

from __future__ import annotations

from collections.abc import Iterable

import pytorch_lightning as pl

from medssl.loading.loader import make_loader
from medssl.loading.plan import Sampler, Stage
from medssl.store.store import Store
from medssl.training.plan import Plan
from medssl.training.waiting import TimedLoader
from medssl.views.view import Batch


def batches(
    store: Store,
    plan: Plan,
    stage: Stage,
    sampler: Sampler,
    steps: tuple[int, int],
    rank: int = 0,
    world: int = 1,
    augmented: bool = True,
) -> Iterable[Batch]:
    """The batches of the steps ``steps[0]`` to ``steps[1] - 1``, each a function of seed, step and slot alone.

    Args:
        store: where the scans are.
        plan: batch, seed and workers.
        stage: names the views.
        sampler: names the scans, by position in the store.
        steps: first step, and one past the last.
        rank: this process.
        world: processes in all.
        augmented: False leaves images as they were sampled.
    """
    # a short look is not worth starting processes for
    workers = plan.workers if steps[1] - steps[0] > 1 else 0
    loader: Iterable[Batch] = make_loader(
        store,
        stage,
        sampler,
        batch=plan.optim.batch,
        seed=plan.seed,
        start=steps[0],
        stop=steps[1],
        workers=workers,
        rank=rank,
        world=world,
        augmented=augmented,
    )
    return loader


class Feed(pl.LightningDataModule):  # type: ignore[misc]
    """The loader of one stage, made once the processes are known.

    Args:
        store: where the scans are.
        plan: batch, seed and workers.
        stage: names the views.
        sampler: names the scans, by position in the store.
        steps: first step still to do, and one past the last.
    """

    def __init__(self, store: Store, plan: Plan, stage: Stage, sampler: Sampler, steps: tuple[int, int]) -> None:
        super().__init__()
        self.store, self.plan, self.stage, self.sampler, self.steps = store, plan, stage, sampler, steps
        self.timed = TimedLoader((), 0)

    def train_dataloader(self) -> TimedLoader:
        """The batches of this process, timed."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)
        here = self.plan.augment_on == "loader"
        found = batches(self.store, self.plan, self.stage, self.sampler, self.steps, rank, world, here)
        self.timed = TimedLoader(found, self.steps[1] - self.steps[0])
        return self.timed
