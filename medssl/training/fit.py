"""Train a method: its stages one after another, from the start or from where a run stopped."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medssl.methods.contract import Method
from medssl.store.store import Store
from medssl.training.plan import Plan, Progress
from medssl.training.run import Run
from medssl.training.stopping import StopSignals

LOUD = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric", "pytorch_lightning.utilities")
"""Loggers that tell a user about the inside of training."""


def fit(
    method: Method,
    store: Store,
    plan: Plan,
    out: str | Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
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

    Returns:
        Plain numbers: ``steps``, ``seconds``, ``data_wait`` (share), ``skipped``, ``peak_memory_mb``, and
        ``notes``, lines worth showing.

    Raises:
        UsageError: the recipe or the data changed since the checkpoint (``resume``).
        InputError: there is nothing to train on (``too-few``).
        MedsslError: training left finite numbers (``diverged``).
        SystemExit: 143 or 130 after a signal; everything is saved.
    """
    with _quiet(), StopSignals() as signals:
        run = Run(method, store, plan, Path(out), signals, progress or _silent)
        run.start(resume)
        try:
            first = 0
            for stage in plan.stages:
                run.stage(stage, first)
                first += stage.steps
            if run.feed is not None:
                run.save()
        finally:
            run.close()
        signals.leave()
    return run.summary()


def _silent(done: int, total: int, text: str) -> None:
    """Tell nobody."""


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
