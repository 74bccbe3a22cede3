"""Train a method: its stages one after another, from the start or from where a run stopped."""

from __future__ import annotations

import logging
import resource
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medssl.errors import ResourceError
from medssl.methods.contract import Method
from medssl.store.store import Store
from medssl.training.plan import Plan, Progress
from medssl.training.run import Run
from medssl.training.skips import refuse_untrained
from medssl.training.stopping import StopSignals

LOUD = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric", "pytorch_lightning.utilities")
"""Loggers that tell a user about the inside of training."""


NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
"""How torch says it, on CUDA and on the CPU."""


def fit(
    method: Method,
    store: Store,
    plan: Plan,
    out: str | Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Train ``method`` in place.

    Every draw is a function of seed, step and slot, and a checkpoint is taken when a step is wholly over, so a run
    that goes on makes bit by bit what the uninterrupted one makes, with any number of workers.

    Args:
        method: what is trained; afterwards it holds the final state.
        store: where the scans are.
        plan: how.
        out: the run folder; gets ``checkpoints/``, ``pictures/``, ``tensorboard/`` and ``metrics.csv``.
        resume: go on from the newest whole checkpoint, if there is one.
        progress: told after every step.
        note: told once, while the run goes on, of each sign that it has collapsed; it stands in ``notes``, too.

    Returns:
        Plain numbers: ``steps``, ``seconds``, ``data_wait`` (share), ``skipped``, ``peak_memory_mb``,
        ``health`` (numbers of the last look), and ``notes``, lines worth showing.

    Raises:
        UsageError: the recipe or the data changed since the checkpoint (``resume``).
        InputError: there is nothing to train on (``too-few``), or every step was left out.
        MedsslError: training left finite numbers (``diverged``).
        ResourceError: memory is not enough (``memory``).
        SystemExit: 143 or 130 after a signal; everything is saved.
    """
    with _quiet(), _memory(plan), StopSignals() as signals:
        run = Run(method, store, plan, Path(out), signals, progress or _silent, note or _unheard)
        run.start(resume)
        try:
            first = 0
            for stage in plan.stages:
                run.stage(stage, first)
                first += stage.steps
            if run.feed is not None:
                run.save()
            refuse_untrained(run.tally, run.total)
        finally:
            run.close()
        signals.leave()
    return run.summary()


def _silent(done: int, total: int, text: str) -> None:
    """Tell nobody."""


def _unheard(text: str) -> None:
    """Tell nobody, either: notes come with the answer."""


@contextmanager
def _memory(plan: Plan) -> Iterator[None]:
    """Turn torch's and Python's errors about memory into ours, with what to lower (promise P34)."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        words = str(error).lower()
        if not isinstance(error, MemoryError) and not any(sign in words for sign in NO_MEMORY):
            raise
        crops = sorted(
            {str(getattr(role.crop, "shape", "?")) for stage in plan.stages for role in stage.views.values()}
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        raise ResourceError(
            f"not enough memory for a batch of {plan.optim.batch} with crops of {', '.join(crops)};"
            f" the process had {peak} MB at most",
            code="memory",
            hint="lower optim.batch or views.crop, or set optim.chunk lower than optim.batch",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's tips and warnings to itself."""
    before = {name: logging.getLogger(name).level for name in LOUD}
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning|lightning|torch")
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
