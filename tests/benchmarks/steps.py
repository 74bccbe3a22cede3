"""A training step of SimCLR, MoCo v2, BYOL and DINO against a plain loop: ``python -m tests.benchmarks.steps``.

Same encoder with the same weights, same batch, same lengths of heads, same optimizer, one thread. medssl's steps are
those of its one Lightning module inside a real ``Trainer.fit`` with the health of a run watched, as ``medssl pretrain``
does them; the loader hands out one batch again and again, since loading is measured elsewhere. A plain step
(``steps_plain.py``) is done between any two of them, while the trainer waits for its next batch, and the medians are
compared; what Lightning does between two steps counts as medssl's. Peaks (Linux) are of processes of their own, beyond
what stood after a small batch has loaded every library. Losses of the first step are compared where both draw nothing
(not MoCo v2, whose plain form starts with a queue of random keys).
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import copy
import gc
import logging
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from medssl.datasets.texture_set import write_textures
from medssl.encoders.resenc import ResEnc
from medssl.loading.loader import make_loader
from medssl.manifest import Manifest
from medssl.methods import METHODS
from medssl.methods.contract import Context, Method
from medssl.recipe import From, choose
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from medssl.training.health import Health
from medssl.training.module import Training
from medssl.training.optimizers import Optim
from medssl.training.plan import Keep
from medssl.views.settings import ViewSettings
from medssl.views.view import Batch
from tests.benchmarks.steps_plain import (
    BOTTLENECK,
    HIDDEN,
    MOMENTUM,
    OUTPUTS,
    PLAIN,
    PROTOTYPES,
    QUEUE,
    Plain,
)

CROP, LOCALS = (32, 32, 32), 2
ENCODER: dict[str, Any] = {"widths": (16, 32, 64, 128), "blocks": (1, 1, 1, 1), "strides": (1, 2, 2, 2)}
SETTINGS: dict[str, dict[str, Any]] = {
    "simclr": {"hidden": HIDDEN, "outputs": OUTPUTS},
    "moco-v2": {"hidden": HIDDEN, "outputs": OUTPUTS, "queue": QUEUE, "momentum": MOMENTUM},
    "byol": {"hidden": HIDDEN, "outputs": OUTPUTS, "momentum": MOMENTUM},
    "dino": {
        "crops": {"policy": "overlapping", "locals": LOCALS},
        "head": {"prototypes": PROTOTYPES, "hidden": HIDDEN, "bottleneck": BOTTLENECK, "freeze_steps": 0},
        "temperature": {"start": 0.04, "end": 0.04},
        "momentum": MOMENTUM,
    },
}
OPTIM = Optim(lr=1e-4, steps=100_000)


class Again(IterableDataset[Batch]):
    """One batch, again and again; tells when it is asked for the next one.

    Args:
        batch: which.
        steps: how often.
        between: done while the trainer waits.
    """

    def __init__(self, batch: Batch, steps: int, between: Any) -> None:
        self.batch, self.steps, self.between = batch, steps, between
        self.seconds: list[float] = []

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.steps):
            self.between()
            batch = copy.copy(self.batch)
            batch.step = step
            start = time.perf_counter()
            yield batch
            self.seconds.append(time.perf_counter() - start)


def make(name: str, sizes: tuple[int, ...], folder: Path) -> tuple[Method, Plain, list[Batch]]:
    """The method, the same by hand with the same weights, and batches of these sizes."""
    torch.manual_seed(0)
    encoder = ResEnc(**ENCODER)
    method: Method = choose(
        From(METHODS, "medssl.methods.contract:Method", ("encoder",)), {"name": name, **SETTINGS[name]}, at="method"
    ).build(encoder)
    plain = PLAIN[name](encoder, encoder.width)
    heads = {"projector": "projector", "predictor": "predictor", "head": "head.projector", "last": "head.prototypes"}
    for own, theirs in heads.items():
        if hasattr(plain, own):
            source = method.keys.projector if name == "moco-v2" else method.get_submodule(theirs)  # type: ignore[union-attr]
            same_weights(getattr(plain, own), source)
    if hasattr(plain, "teacher"):
        for copied, network in zip(plain.teacher, [plain.encoder, *heads_of(plain)], strict=True):  # type: ignore[call-overload]
            same_weights(copied, network)
    manifest = Manifest.read(write_textures(folder / "scans", max(sizes) + 1, 1, shape=(48, 48, 48)))
    store = prepare(manifest, folder / "store", StoreSettings())
    roles = method.views(ViewSettings(crop=CROP))
    batches = [next(iter(make_loader(store, roles, batch=size, seed=0, start=0, stop=1))) for size in sizes]
    return method, plain, batches


def heads_of(plain: Plain) -> list[nn.Module]:
    """The networks beside the encoder that a teacher copies."""
    return [getattr(plain, name) for name in ("projector", "head", "last") if hasattr(plain, name)]


def same_weights(target: nn.Module, source: nn.Module) -> None:
    """Parameters in order."""
    with torch.no_grad():
        for mine, theirs in zip(target.parameters(), source.parameters(), strict=True):
            mine.copy_(theirs)


def images_of(batch: Batch, name: str) -> list[Tensor]:
    """Views by kind, each in the order of samples."""
    large = [batch["view"].image, batch["partner"].image]
    if name != "dino":
        return large
    small = batch["local"].image
    return [*large, *(small[n::LOCALS].contiguous() for n in range(LOCALS))]


def trained(method: Method, batch: Batch, steps: int, between: Any) -> tuple[list[float], list[float]]:
    """Seconds and losses of medssl's steps."""
    from medssl.methods.contract import Stage

    losses: list[float] = []
    roles = method.views(ViewSettings(crop=CROP))
    ctx = Context(total_steps=OPTIM.steps)
    module = Training(
        method,
        Stage("main", OPTIM.steps, roles),
        0,
        OPTIM,
        ctx,
        0,
        lambda step, numbers: losses.append(numbers["loss"]),
    )
    module.health = Health(Keep().health_every, OPTIM.steps)
    feed = Again(batch, steps, between)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    method.train()
    trainer.fit(module, DataLoader(feed, batch_size=None))
    return feed.seconds, losses


def compare(name: str, batch_size: int, steps: int, warm: int) -> dict[str, float]:
    """Medians of both in turns, and the losses of the first step."""
    with tempfile.TemporaryDirectory() as folder:
        method, plain, (batch,) = make(name, (batch_size,), Path(folder))
    images = images_of(batch, name)
    plain.train()
    plain.start(OPTIM.lr)
    taken: list[float] = []
    losses: list[float] = []

    def between() -> None:
        start = time.perf_counter()
        losses.append(plain.step(images))
        taken.append(time.perf_counter() - start)

    seconds, own = trained(method, batch, steps, between)
    return {
        "medssl": statistics.median(seconds[warm:]),
        "plain": statistics.median(taken[warm:]),
        "loss": own[0],
        "plain_loss": losses[0],
    }


def peak(name: str, batch_size: int, who: str) -> float:
    """Mebibytes that a process of its own took beyond what stood before its first step."""
    with tempfile.TemporaryDirectory() as folder:
        method, plain, (small, batch) = make(name, (2, batch_size), Path(folder))
    if who == "plain":
        del method
        _by_hand(copy.deepcopy(plain), images_of(small, name), 1)
        before = resident()
        _by_hand(plain, images_of(batch, name), 4)
    else:
        del plain
        trained(copy.deepcopy(method), small, 1, lambda: None)
        before = resident()
        trained(method, batch, 4, lambda: None)
    return status("VmHWM") - before


def _peak(command: list[str]) -> float:
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def _by_hand(plain: Plain, images: list[Tensor], steps: int) -> None:
    plain.train()
    plain.start(OPTIM.lr)
    for _ in range(steps):
        plain.step(images)


def resident() -> float:
    """Mebibytes that the process holds now; its peak is counted anew from here."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return status("VmRSS")


def status(name: str) -> float:
    """A line of the process's own status, in mebibytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name}:"))) / 1024


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(PLAIN))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    if args.peak:
        print(peak(args.peak[0], args.batch, args.peak[1]))
        return 0
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, batch {args.batch}, crop {CROP}\n")
    print("| method | plain s | medssl s | times | plain MB | medssl MB | times | loss of the first step, both |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    worst = 0.0
    for name in args.methods.split(","):
        command = [sys.executable, "-m", "tests.benchmarks.steps", "--batch", str(args.batch), "--peak", name]
        # the least of a few: how memory is given back differs from process to process
        plain, own = (min(_peak([*command, who]) for _ in range(3)) for who in ("plain", "medssl"))
        found = compare(name, args.batch, args.steps, warm=3)
        times, more = found["medssl"] / found["plain"], own / plain
        worst = max(worst, times, more)
        losses = f"{found['plain_loss']:.5f}, {found['loss']:.5f}"
        print(
            f"| {name} | {found['plain']:.3f} | {found['medssl']:.3f} | {times:.3f} | {plain:.0f} | {own:.0f} |"
            f" {more:.3f} | {losses} |",
            flush=True,
        )
    return int(worst > 1.05)


if __name__ == "__main__":
    sys.exit(main())
