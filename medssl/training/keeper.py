"""The callback that keeps a run safe: checkpoints at the start of a batch, signals, pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from medssl.training.module import Training
from medssl.training.skips import Tally
from medssl.training.state import RunState
from medssl.training.stopping import StopSignals
from medssl.views.view import Batch


class Keeper(pl.Callback):  # type: ignore[misc]
    """Saves at the start of the next batch, when EMA, queues and everything else have moved.

    Args:
        state: where the run stands; restored before the first batch, noted before each save.
        every: steps from one checkpoint to the next.
        save: writes ``state``.
        pictures: called with the step before every batch.
        signals: asked between batches.
    """

    def __init__(
        self,
        state: RunState,
        every: int,
        save: Callable[[], None],
        pictures: Callable[[Training, int], None],
        signals: StopSignals,
    ) -> None:
        self.state, self.every, self.save, self.pictures, self.signals = state, every, save, pictures, signals
        self._started = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the optimizer of a run that goes on."""
        assert isinstance(pl_module, Training)  # noqa: S101  Lightning hands the module that it was given
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if self.state.stage == pl_module.stage.name:
            if self.state.optimizer:
                _optimizer(trainer).load_state_dict(self.state.optimizer)
            if self.state.scaler and scaler is not None:
                scaler.load_state_dict(self.state.scaler)
        pl_module.tally = Tally.from_plain(self.state.counts)
        # Lightning has put its own handler for SIGTERM in front
        self.signals.listen()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Save if it is time or a signal came; then look."""
        assert isinstance(pl_module, Training)  # noqa: S101
        stop = self.signals.received is not None
        if trainer.world_size > 1:
            stop = bool(trainer.strategy.reduce_boolean_decision(stop, all=False))
        due = batch.step % self.every == 0 and batch.step > 0 and self._started
        if stop or due:
            self.note(trainer, pl_module, batch.step)
            self.save()
        self._started = True
        if stop:
            pl_module.stopped = True
        else:
            self.pictures(pl_module, batch.step)

    def note(self, trainer: pl.Trainer, module: Training, step: int) -> None:
        """Take down where the run stands."""
        self.state.take(step, module.stage.name, _optimizer(trainer), getattr(trainer.precision_plugin, "scaler", None))
        self.state.counts.update(module.tally.to_plain())


def _optimizer(trainer: pl.Trainer) -> Any:
    return trainer.optimizers[0]
