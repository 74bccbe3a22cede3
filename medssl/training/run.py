"""One run: the stages in order, and what is written meanwhile."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from medssl import draws
from medssl.encoders.shared_norm import share
from medssl.errors import InputError, MedsslError, RecipeError, UsageError
from medssl.loading.plan import Sampler, Stage
from medssl.loading.sampler import PatientSampler, ScanSampler
from medssl.methods.contract import Context, Method
from medssl.store.store import Store
from medssl.training.checkpoint import latest_checkpoint, save_checkpoint
from medssl.training.feed import Feed, batches
from medssl.training.gather import gather
from medssl.training.hardware import set_threads
from medssl.training.health import Health, Look
from medssl.training.histograms import FILE
from medssl.training.keeper import Keeper
from medssl.training.logs import MetricsFile, TensorBoard
from medssl.training.module import Training
from medssl.training.parts import parts
from medssl.training.pictures import picture_arrays, save_arrays
from medssl.training.plan import Plan, Progress
from medssl.training.skips import SkipLog, Tally, Why, summary_of
from medssl.training.state import RunState, restore
from medssl.training.stopping import StopSignals
from medssl.training.survey import run_survey
from medssl.views.view import Batch


class Run:
    """A method in training.

    Args:
        method: what is trained.
        store: where the scans are.
        plan: how.
        out: the run folder.
        signals: asked between batches.
        progress: told after every step.
        note: told once of what a user should know while the run goes on.
    """

    def __init__(
        self,
        method: Method,
        store: Store,
        plan: Plan,
        out: Path,
        signals: StopSignals,
        progress: Progress,
        note: Callable[[str], None],
    ) -> None:
        self.method, self.store, self.plan, self.out = method, store, plan, out
        self.signals, self.progress, self.note = signals, progress, note
        self.total = sum(stage.steps for stage in plan.stages)
        self.state = RunState()
        self.health = Health(plan.keep.health_every, self.total)
        self.notes: list[str] = []
        self.settings = plan.hardware.trainer_settings()
        self.world = self.settings["devices"] * self.settings["num_nodes"]
        self.trainable = {name: p.requires_grad for name, p in method.named_parameters()}
        self.metrics: MetricsFile | None = None
        self.board: TensorBoard | None = None
        self.skips: SkipLog | None = None
        self.feed: Feed | None = None
        self.earlier = (0.0, 0.0)
        if len(self.store) == 0:
            raise InputError("there is no scan to train on", code="too-few")
        if self.total < 1:
            raise UsageError(f"expected at least one step, got {self.total}", path="optim.steps")

    def start(self, resume: bool) -> None:
        """Load the newest whole checkpoint if the run goes on."""
        set_threads()
        if not resume:
            return
        data, skipped = latest_checkpoint(self.out / "checkpoints")
        self.notes += skipped
        if data is None:
            self.notes.append("there was no checkpoint to go on from, the run began anew")
            return
        try:
            self.state = restore(data, self.method, self.plan.recipe, self.world)
        except MedsslError as error:
            raise type(error)(error.reason, path=self.out, code=error.code, hint=error.hint) from error
        self.health = Health(self.plan.keep.health_every, self.total, self.state.health)
        self.notes.append(f"went on from step {self.state.step}")

    def stage(self, stage: Stage, first: int) -> None:
        """Do what is left of one stage."""
        last = first + stage.steps
        if self.state.step >= last:
            return
        for name, weight in self.method.named_parameters():
            weight.requires_grad_(self.trainable[name] and (not stage.trains or name.startswith(stage.trains)))
        ctx = Context(step=self.state.step, total_steps=self.total, stage=stage.name, surveys=self.state.surveys)
        ctx.batch = self.plan.optim.batch * self.world
        if stage.survey and stage.name not in self.state.surveys:
            self._survey(stage, ctx)
        self.method.train()
        if self.world > 1 and not self.settings["sync_batchnorm"]:
            share(self.method, gather)
        sampler = self._sampler(stage)
        module = Training(self.method, stage, first, self.plan.optim, ctx, self.plan.seed, self._report)
        module.augments = self.plan.augment_on == "device"
        module.skipped = self._left_out
        module.health = self.health
        self.feed = Feed(self.store, self.plan, stage, sampler, (self.state.step, last))
        self.earlier = (self.state.counts.get("seconds", 0.0), self.state.counts.get("waited", 0.0))
        looker = _Looker(self, stage, sampler, first)
        keeper = Keeper(self.state, self.plan.keep.checkpoint_every, self.save, looker, self.signals)
        trainer = self._trainer(keeper)
        trainer.fit(module, datamodule=self.feed)
        # the trainer knows how many batches there are and does not ask for one more
        self.feed.timed.clock.asked()
        if module.stopped:
            self.signals.leave()
        self._count()
        self.state.counts.update(module.tally.to_plain())
        self.state.take(last, stage.name, None, None)

    def save(self) -> None:
        """Write a checkpoint of the state as it was taken down (the first process does)."""
        self._count()
        if _rank() == 0:
            self.state.health = self.health.plain()
            data = self.state.to_plain(self.method, self.plan.recipe, self.world)
            save_checkpoint(self.out / "checkpoints", self.state.step, data, self.plan.keep.checkpoints)

    def close(self) -> None:
        """Close the logs."""
        if self.board is not None:
            self.board.close()

    @property
    def tally(self) -> Tally:
        """What was left out so far, as it was last taken down."""
        return Tally.from_plain(self.state.counts)

    def summary(self) -> dict[str, Any]:
        """What the run took."""
        seconds, waited = (self.state.counts.get(name, 0.0) for name in ("seconds", "waited"))
        tally = self.tally
        out = {
            "steps": self.state.step,
            "seconds": round(seconds, 3),
            "data_wait": round(waited / max(seconds, 1e-9), 4),
            "skipped": tally.skipped,
            "skipped_for": {why: count for why, count in tally.counts.items() if count},
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "health": self.health.summary(),
            "notes": [*self.notes, *summary_of(tally), *self.health.warned.values()],
        }
        if torch.cuda.is_available():
            out["peak_device_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
        return out

    def _trainer(self, keeper: Keeper) -> pl.Trainer:
        try:
            return self._make_trainer(keeper)
        except (ValueError, MisconfigurationException) as error:
            reason = " ".join(str(error).split())
            raise RecipeError(f"hardware: {reason}") from error

    def _make_trainer(self, keeper: Keeper) -> pl.Trainer:
        return pl.Trainer(
            **self.settings,
            max_epochs=1,
            logger=False,
            callbacks=[keeper],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_autolog_hparams=False,
            use_distributed_sampler=False,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            default_root_dir=str(self.out),
        )

    def _sampler(self, stage: Stage) -> Sampler:
        if stage.sampler:
            return stage.sampler(self.store, self.state.surveys)
        kind = PatientSampler if self.plan.take == "patients" else ScanSampler
        return kind(self.store, self.plan.seed)

    def _survey(self, asked: Stage, ctx: Context) -> None:
        stage = asked if asked.survey_views is None else replace(asked, views=asked.survey_views)

        def feed(sampler: Sampler, size: int, count: int) -> Iterable[Batch]:
            plan = replace(self.plan, optim=replace(self.plan.optim, batch=size))
            return batches(self.store, plan, stage, sampler, (0, count))

        if torch.cuda.is_available():
            self.method.to("cuda")
        size = min(self.plan.optim.batch, self.plan.optim.chunk or self.plan.optim.batch)
        self.state.surveys[stage.name] = run_survey(
            self.method, stage, len(self.store), size, feed, ctx, self.plan.seed
        )
        self.state.take(self.state.step, "", None, None)
        self.save()

    def _report(self, step: int, numbers: dict[str, float]) -> None:
        """Log a step."""
        if self.feed is None or _rank() != 0:
            return
        if self.metrics is None:
            self.metrics = MetricsFile(self.out / "metrics.csv", step)
            self.board = TensorBoard(self.out / "tensorboard", step) if self.plan.keep.tensorboard else None
        seconds, wait = self.feed.timed.clock.last()
        row = {**numbers, "seconds": round(seconds, 5), "data_wait": round(wait, 4)}
        self.metrics.write(step, self.feed.stage.name, row)
        if self.board is not None:
            self.board.write(step, self.feed.stage.name, row)
        self.progress(step + 1, self.total, self.feed.stage.name)
        if self.health.last is not None and self.health.last.step == step:
            self._show(self.health.last)

    def _show(self, look: Look) -> None:
        """Leave what a look at the run's health found, beside its numbers."""
        arrays = self.health.arrays()
        if arrays:
            save_arrays(self.out / FILE, arrays)
        for text in look.warnings:
            self.note(text)
        if self.board is None:
            return
        for kind, counts in look.histograms.items():
            self.board.histogram(look.step, f"{look.stage}/health_similarity/{kind}", counts.tolist())
        for text in look.warnings:
            self.board.text(look.step, f"{look.stage}/health", text)

    def _left_out(self, step: int, why: Why, records: list[int]) -> list[str]:
        """Write down a step that is left out; the names of its scans."""
        places = {self.store.ids(n)["record"]: n for n in range(len(self.store))}
        names = [self.store.name(places[record]) for record in records if record in places]
        if _rank() == 0 and self.feed is not None:
            if self.skips is None:
                self.skips = SkipLog(self.out / "skipped.csv", step)
            self.skips.write(step, self.feed.stage.name, why, names)
        return names

    def _count(self) -> None:
        if self.feed is not None:
            clock = self.feed.timed.clock
            self.state.counts.update(seconds=self.earlier[0] + clock.total, waited=self.earlier[1] + clock.waited)


class _Looker:
    """Saves pictures of one fixed batch of a stage every few steps."""

    def __init__(self, run: Run, stage: Stage, sampler: Sampler, first: int) -> None:
        self.run, self.stage, self.sampler, self.first = run, stage, sampler, first
        self.batch: Batch | None = None

    def __call__(self, module: Training, step: int) -> None:
        every = self.run.plan.keep.pictures_every
        last = self.first + self.stage.steps - 1
        if not every or _rank() != 0 or (step % every and step not in (self.first, last)):
            return
        if self.batch is None:
            steps = (self.first, self.first + 1)
            self.batch = next(iter(batches(self.run.store, self.run.plan, self.stage, self.sampler, steps)))
            if self.run.plan.optim.chunk is not None:
                self.batch = parts(self.batch, self.run.plan.optim.chunk)[0]
        seed = draws.torch_seed(self.run.plan.seed, draws.STEP, self.first)
        arrays = picture_arrays(module.method, self.batch.to(module.device), module.ctx, seed)
        save_arrays(self.run.out / "pictures" / f"{self.stage.name}-{step:08d}.npz", arrays)


def _rank() -> int:
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_rank() if distributed else 0
