"""The one Lightning module: a method, a stage and a context, one optimizer step a batch.

Optimization is manual, so that a step whose numbers are not finite can be left out on every process alike, and so
that EMA copies and queues have moved before the step ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from medssl import draws
from medssl.errors import MedsslError
from medssl.loading.plan import Stage
from medssl.methods.contract import Context, EmptyBatchError, Method, Vectors
from medssl.training.chunked import learn_in_chunks
from medssl.training.health import Health
from medssl.training.optimizers import Optim, make_optimizer, rate, set_rate
from medssl.training.parts import in_order
from medssl.training.skips import Tally, Why, records_of, views_are_finite
from medssl.views.augment.batch import augment_roles
from medssl.views.view import Batch

Report = Callable[[int, dict[str, float]], None]
"""Called after every step with the step and its numbers."""


Skipped = Callable[[int, Why, list[int]], list[str]]
"""Called with a step that is left out, why, and its scans' ids of name ``record``; gives the scans' names."""


class Training(pl.LightningModule):  # type: ignore[misc]
    """One stage of training.

    Args:
        method: what is trained.
        stage: which of its stages.
        first: the run's step at which the stage starts.
        optim: how it is optimized.
        ctx: what the method may know; its step and generator are set anew each step.
        seed: the run's seed.
        report: told about every step.
    """

    def __init__(
        self, method: Method, stage: Stage, first: int, optim: Optim, ctx: Context, seed: int, report: Report
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.method = method
        self.stage, self.first, self.optim, self.ctx, self.seed, self.report = stage, first, optim, ctx, seed, report
        self.tally = Tally()
        self.skipped: Skipped = lambda step, why, records: [f"record {number}" for number in records]
        self.stopped = False
        self.health = Health(0, ctx.total_steps)
        self.augments = False
        """Whether batches come as they were sampled and are changed here, on their device."""
        # the same share of every stage is warm-up
        self.warmup = round(optim.warmup_steps * stage.steps / max(1, ctx.total_steps))

    def configure_optimizers(self) -> Optimizer:
        """A fresh optimizer for the stage."""
        return make_optimizer(self.optim, self.method.param_groups())

    def on_train_start(self) -> None:
        """Gather across processes where there are several."""
        from medssl.training.gather import gather

        self.ctx.gather = gather

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> int | None:
        """Leave the stage when a signal has come (Lightning ends an epoch at -1)."""
        return -1 if self.stopped else None

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Encode, loss, backward, optimizer step, and what follows it."""
        self._enter(batch.step)
        if self.augments:
            batch = augment_roles(batch, self.stage.views)
        optimizer = self._optimizer()
        lr = self.optim.lr * rate(batch.step - self.first, self.stage.steps, self.warmup)
        set_rate(optimizer, lr, self.optim.decay(batch.step / max(1, self.ctx.total_steps)))
        optimizer.zero_grad(set_to_none=True)
        self._seen: tuple[Batch, Vectors] = (batch, {})
        numbers, why, told = self._tried(batch, optimizer)
        if why is None:
            self.tally.in_row = 0
            # it sees the steps done, this one with them
            self.ctx.step = batch.step + 1
            with torch.no_grad():
                self.method.after_step(self.ctx)
            self.report(batch.step, {**numbers, "lr": lr, **self._looked()})
        else:
            self.report(batch.step, {"loss": math.nan, **numbers, "skipped": 1.0, "lr": lr, **self._looked()})
            names = self.skipped(batch.step, why, records_of(batch, why == "values"))
            self.tally.left_out(why, batch.step, names, told)

    def _tried(self, batch: Batch, optimizer: Optimizer) -> tuple[dict[str, float], Why | None, EmptyBatchError | None]:
        """The numbers of a step, and why it was left out, on all processes alike, if it was."""
        if not views_are_finite(batch):
            return {}, "values", None
        try:
            with self.health.catching(self.method):
                vectors, loss, logs = self._learn(batch)
        except EmptyBatchError as error:
            return {}, "empty", error
        # vectors of chunks stand sample by sample
        self._seen = (in_order(batch) if self._chunked(batch) else batch), vectors
        return (*self._step(optimizer, loss, logs), None)

    def _looked(self) -> dict[str, float]:
        """The numbers of the run's health where this step is looked at; vectors are let go."""
        (batch, vectors), self._seen = self._seen, (self._seen[0], {})
        return self.health.after(batch, vectors, self.method, self.ctx)

    def _chunked(self, batch: Batch) -> bool:
        return self.optim.chunk is not None and self.optim.chunk < batch.size

    def _learn(self, batch: Batch) -> tuple[Vectors, Tensor, dict[str, Tensor]]:
        """Vectors, loss and what to log; afterwards the weights have their gradients."""
        if self.optim.chunk is not None and self._chunked(batch):
            return learn_in_chunks(self.method, batch, self.ctx, self.optim.chunk, self._backward)
        vectors = self.method.encode(batch, self.ctx)
        loss, logs = self.method.loss(vectors, batch, self.ctx)
        self.manual_backward(loss)
        return vectors, loss, logs

    def _backward(self, tensors: Sequence[Tensor], gradients: Sequence[Tensor] | None, last: bool) -> None:
        """One of several backwards of a step; processes exchange their gradients with the last one."""
        self.health.encoded()
        strategy = self.trainer.strategy
        apart = isinstance(strategy.model, DistributedDataParallel) and not last
        with strategy.model.no_sync() if apart else nullcontext():
            if gradients is None:
                self.manual_backward(tensors[0])
            else:
                # these are gradients of the scaled loss already
                strategy.pre_backward(list(tensors))
                torch.autograd.backward(tensors, gradients)

    def _enter(self, step: int) -> None:
        """Set everything random by the step alone, so that a run that goes on draws the same."""
        torch.manual_seed(draws.torch_seed(self.seed, draws.STEP, step, 2 * self.global_rank))
        self.ctx.generator.manual_seed(draws.torch_seed(self.seed, draws.STEP, step, 2 * self.global_rank + 1))
        self.ctx.step = step
        self.ctx.stage = self.stage.name

    def _optimizer(self) -> Optimizer:
        found = self.optimizers(use_pl_optimizer=False)
        if not isinstance(found, Optimizer):
            raise MedsslError(f"expected one optimizer, got {type(found).__name__}")
        return found

    def _step(self, optimizer: Optimizer, loss: Tensor, logs: dict[str, Tensor]) -> tuple[dict[str, float], Why | None]:
        """Move the weights if loss and gradient are finite; the numbers of the step, and why it was left out."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None:
            scaler.unscale_(optimizer)
        weights = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(weights, self.optim.clip or math.inf)
        values = _floats({"loss": loss, "grad_norm": norm, **logs})
        within = math.isfinite(values["grad_norm"])
        finite = math.isfinite(values["loss"]) and (within or scaler is not None)
        # a batch that is not finite on one process is left out on all
        finite = bool(self.trainer.strategy.reduce_boolean_decision(finite, all=True))
        if scaler is None:
            if finite:
                optimizer.step()
            return values, None if finite else "loss"
        # the scaler itself leaves a step with overflowing gradients out and lowers its scale
        if finite:
            scaler.step(optimizer)
        scaler.update()
        return values, "loss" if not finite else None if within else "overflow"


def _floats(values: dict[str, Tensor]) -> dict[str, float]:
    """Scalars as floats with one transfer from the device."""
    stacked = torch.stack(
        [torch.as_tensor(v).detach().double().reshape(()).to(_device(values)) for v in values.values()]
    )
    return dict(zip(values, stacked.cpu().tolist(), strict=True))


def _device(values: dict[str, Any]) -> torch.device:
    found: torch.device = values["loss"].device
    return found
