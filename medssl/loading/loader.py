"""The loader: batches of a stretch of steps, made by any number of workers, always the same."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader

from medssl.errors import MedsslError, ResourceError, UsageError
from medssl.loading.dataset import Slots, StepDataset
from medssl.loading.plan import Sampler, Stage
from medssl.loading.sampler import PatientSampler
from medssl.store.store import Store
from medssl.views.view import Batch, Role


class BatchLoader(DataLoader[Any]):
    """A ``DataLoader`` whose items are batches and whose workers' errors come out as they were raised."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        try:
            for item in super().__iter__():
                if isinstance(item, MedsslError):
                    raise item
                yield item
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ResourceError(
                f"a loading process died: {error}",
                code="memory",
                hint="fewer data.workers or smaller views; look at the free space of /dev/shm",
            ) from error


def make_loader(
    store: Store,
    stage: Stage | Mapping[str, Role],
    sampler: Sampler | None = None,
    *,
    batch: int,
    seed: int,
    start: int,
    stop: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> BatchLoader:
    """Batches of the steps from ``start`` to ``stop − 1``.

    Args:
        store: the scans.
        stage: a stage, or its roles alone.
        sampler: which scans a step takes; None takes them patient by patient.
        batch: samples of each process.
        seed: of the run.
        start: first step.
        stop: one past the last step.
        workers: processes that make batches ahead; the batches are the same for any number.
        rank: this training process.
        world: training processes; their samples follow one another in one draw.

    Raises:
        UsageError: a count is out of range.
        InputError: the store holds no scan (``too-few``).

    Example:
        ``for batch in make_loader(store, stage, None, batch=2, seed=0, start=0, stop=100): …``
    """
    if batch < 1 or workers < 0 or not 0 <= rank < world or not 0 <= start <= stop:
        got = {"batch": batch, "workers": workers, "rank": rank, "world": world, "start": start, "stop": stop}
        raise UsageError(f"batch must be at least 1, rank below world, start at most stop, got {got}")
    roles = stage.views if isinstance(stage, Stage) else stage
    dataset = StepDataset(store, roles, sampler or PatientSampler(store, seed), Slots(batch, rank, world), seed)
    return BatchLoader(
        dataset,
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker if workers else None,
        prefetch_factor=2 if workers else None,
    )


def _start_worker(number: int) -> None:
    """One thread a worker, and tensors handed over by file name: open descriptors would run out (promise P37).

    A signal often goes to a whole group of processes. The training process alone decides what it means: it still
    needs its workers for the step after which it saves.
    """
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.multiprocessing.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]
