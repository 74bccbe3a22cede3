"""Every registered method through one real training step: ``python -m tests.training.every_method OUT``.

Started once for each process, with the environment of a launcher; two processes with half the batch each.
"""

from __future__ import annotations

import math
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from medssl.encoders.shared_norm import share
from medssl.methods import METHODS
from medssl.methods.contract import Context, EmptyBatchError, Method, Vectors
from medssl.training.checkpoint import plain_state
from medssl.training.gather import gather
from medssl.training.module import Training
from medssl.training.optimizers import Optim
from medssl.training.parts import parts
from medssl.training.waiting import TimedLoader
from medssl.views.view import Batch
from tests.methods import tiny

SIZE = 4

CASES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    name: (name, tiny.CARRIES[name][0], {}, "group") for name in METHODS
} | {
    "simclr, batch norm": ("simclr", "resnet", {"norm": "batch"}, "batch"),
    "voco, batch norm": ("voco", "resenc", {"norm": "batch"}, "batch"),
    "byol, batch norm": ("byol", "resenc", {"norm": "batch"}, "batch"),
    "spark, batch norm": ("spark", "resenc", {"decoder_norm": "batch"}, "batch"),
}
"""What is trained: the method, its encoder, settings beside its smallest ones, and the encoder's norm."""

EXACT = {"barlow-twins", "models-genesis", "volume-fusion", *(case for case in CASES if "batch norm" in case)}
"""In float64: where a rounding of float32 is magnified by more than the 1e-5 that is asked for."""

CHUNKED = ("simclr", "byol", "moco-v2", "swav", "spark", "voco")
"""In chunks, too; that chunks are the single pass is tested for every method in test_chunked."""

Found = dict[str, Any]


def made(case: str) -> tuple[Method, Batch]:
    """A method whose queue is filled and whose teacher has moved, and a batch for it."""
    name, encoder, settings, norm = CASES[case]
    before = tiny.ENCODERS[encoder]
    tiny.ENCODERS[encoder] = {**before, **({"norm": norm} if "norm" in before else {})}
    try:
        method = tiny.build(name, encoder, **settings)
    finally:
        tiny.ENCODERS[encoder] = before
    batch = tiny.batch_for(method, name, SIZE)
    optimizer = torch.optim.SGD(method.param_groups(), lr=0.05)
    for step in range(2):
        ctx = tiny.context_for(method, step=step)
        try:
            loss, _ = method.loss(method.encode(batch, ctx), batch, ctx)
        except EmptyBatchError:
            pass
        else:
            loss.backward()
            optimizer.step()
        method.zero_grad()
        method.after_step(ctx)
    return method, batch


def step_of(case: str, world: int, chunk: int | None = None) -> Found:
    """Loss, gradients and state after one step of the real trainer."""
    method, whole = made(case)
    exact = case in EXACT
    if exact:
        method, whole = method.double(), tiny.double(whole)
    optim = Optim("sgd", lr=1e-3, steps=10, batch=SIZE // world, clip=None, chunk=chunk)
    module, told = trained(method, [whole], world, optim, "64-true" if exact else "32-true")
    loss = gather(torch.tensor([told[0]["loss"]], dtype=torch.float64)).mean()
    return {
        "loss": float(loss),
        "skipped": module.tally.skipped,
        "gradients": {name: p.grad for name, p in method.named_parameters() if p.grad is not None},
        "state": plain_state(method.state_dict()),
    }


def trained(
    method: Method,
    wholes: list[Batch],
    world: int,
    optim: Optim,
    precision: Any = "32-true",
    skipped: Any = lambda *about: [],
) -> tuple[Training, list[dict[str, float]]]:
    """The real trainer on this process's part of every batch; the module, and what every step told."""
    rank = int(os.environ.get("RANK", "0"))
    batches = [parts(whole, SIZE // world)[rank] for whole in wholes]
    stage = tiny.stage_of(method)
    ctx = tiny.context_for(method)
    ctx.batch = SIZE
    if world > 1:
        share(method, gather)
    for name, weight in method.named_parameters():
        weight.requires_grad_(weight.requires_grad and name.startswith(stage.trains or ("",)))
    told: list[dict[str, float]] = []
    module = Training(method, stage, 0, optim, ctx, 0, lambda step, numbers: told.append(numbers))
    module.skipped = skipped
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp_find_unused_parameters_true" if world > 1 else "auto",
        precision=precision,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(module, train_dataloaders=TimedLoader(batches, len(batches)))
    return module, told


def skipping(world: int, chunk: int | None = None) -> Found:
    """Four steps: one view of step 1 is not finite (on the second process), step 2 says nothing to the objective."""
    method, whole = made("moco-v2")
    wholes = [replace(whole, step=step) for step in range(4)]
    view = whole["view"]
    image = view.image.clone()
    image[-1, 0, 3, 4, 5] = math.nan
    wholes[1] = replace(wholes[1], roles={**whole.roles, "view": replace(view, image=image)})
    ordinary = method.loss

    def loss(vectors: Vectors, batch: Batch, ctx: Context) -> Any:
        found = ordinary(vectors, batch, ctx)
        if ctx.step == 2:
            raise EmptyBatchError("nothing", code="batch")
        return found

    method.loss = loss  # type: ignore[method-assign]
    records: list[Any] = []
    optim = Optim("sgd", lr=1e-3, steps=10, batch=SIZE // world, chunk=chunk)
    module, told = trained(method, wholes, world, optim, skipped=lambda *about: records.append(about) or [])
    steps = [sorted(numbers) for numbers in told]
    return {"state": plain_state(method.state_dict()), "counts": module.tally.counts, "told": steps, "records": records}


def tried(work: Callable[..., Found], *args: Any) -> Found:
    """What two processes gave, or why there is nothing: one method leaves the others theirs."""
    try:
        return work(*args)
    except Exception:
        return {"error": traceback.format_exc()}


def main() -> None:
    """All cases; each process writes what it found."""
    torch.set_num_threads(1)
    found = {case: tried(step_of, case, 2) for case in CASES}
    found |= {f"{case}, in chunks": tried(step_of, case, 2, 1) for case in CHUNKED}
    found |= {f"skips, chunk {chunk}": tried(skipping, 2, chunk) for chunk in (None, 1)}
    torch.save(found, Path(sys.argv[1]) / f"{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main()
