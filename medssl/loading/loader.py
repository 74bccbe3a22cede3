"""The loader: batches of a stretch of steps, made by any number of workers, always the same."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Sampler as StepSampler

from medssl.errors import MedsslError, ResourceError, UsageError
from medssl.loading.dataset import Slots, StepDataset
from medssl.loading.parcel import unpacked
from medssl.loading.plan import Sampler, Stage
from medssl.loading.sampler import PatientSampler
from medssl.store.store import Store
from medssl.views.view import Batch, Role


class Steps(StepSampler[int]):
    """The steps of a loader: a range whose start moves with what has been given out.

    Args:
        start: first step.
        stop: one past the last.
    """

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))


class BatchLoader(DataLoader[Any]):
    """A ``DataLoader`` whose items are batches and whose workers' errors come out as they were raised.

    Its state is the next step: a batch is a function of the step, so that a loader made anew, with any number of
    workers, goes on with the exact next sample.
    """

    def __init__(self, dataset: StepDataset, steps: Steps, **settings: Any) -> None:
        super().__init__(dataset, batch_size=None, sampler=steps, **settings)
        self._steps = steps
        self._next = steps.start

    def state_dict(self) -> dict[str, int]:
        """Plain data: the step of the next batch, and what must be the same for it to be the same batch."""
        return {"next": self._next, **self.dataset.draws_from()}  # type: ignore[attr-defined]

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where another loader was; the next iteration starts there.

        Raises:
            UsageError: the other loader drew from another seed, batch or number of processes, or ended later.
        """
        own = self.dataset.draws_from()  # type: ignore[attr-defined]
        differ = sorted(name for name in own if state.get(name) != own[name])
        if differ or not self._steps.start <= int(state.get("next", -1)) <= self._steps.stop:
            words = ", ".join(f"{name} {state.get(name)} there and {own[name]} here" for name in differ)
            raise UsageError(f"the loader's state does not fit: {words or 'its step is none of this loader'}")
        self._next = self._steps.start = int(state["next"])

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches = self._batches()
        _RUNNING.add(batches)
        return batches

    def _batches(self) -> Generator[Batch]:
        self._next = self._steps.start
        # anew each time: an earlier iteration's batches may still be held
        slabs = self.dataset.share(self.num_workers) if self.num_workers else None  # type: ignore[attr-defined]
        try:
            for item in super().__iter__():
                if isinstance(item, MedsslError):
                    raise item
                self._next += 1
                yield item if slabs is None or isinstance(item, Batch) else unpacked(item, slabs)
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            scans = self.dataset.in_hand()  # type: ignore[attr-defined]
            raise ResourceError(
                f"a loading process died ({_free_shared_memory()}): {error}",
                path=", ".join(scans) or None,
                code="memory",
                hint="fewer data.workers or smaller views",
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
    augmented: bool = True,
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
        augmented: False leaves images as they were sampled, for ``views.augment.batch.augment_roles`` on a device.

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
    dataset = StepDataset(
        store, roles, sampler or PatientSampler(store, seed), Slots(batch, rank, world), seed, augmented
    )
    return BatchLoader(
        dataset,
        Steps(start, stop),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker if workers else None,
        prefetch_factor=2 if workers else None,
    )


_RUNNING: WeakSet[Generator[Batch]] = WeakSet()


@atexit.register
def _end_workers() -> None:
    """End the workers of loaders that are still held when the process ends: it would wait for them for ever."""
    for batches in list(_RUNNING):
        # one that is running at this very moment cannot be closed
        with suppress(ValueError):
            batches.close()


def _free_shared_memory() -> str:
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108
    except OSError:
        return "free shared memory unknown"
    return f"{found.f_bavail * found.f_frsize / 2**20:.0f} MiB of /dev/shm are free"


def _start_worker(number: int) -> None:
    """One thread a worker, and tensors handed over by file name: open descriptors would run out (promise P37).

    A signal often goes to a whole group of processes. The training process alone decides what it means: it still
    needs its workers for the step after which it saves.
    """
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.multiprocessing.set_sharing_strategy("file_system")  # type: ignore[no-untyped-call]
