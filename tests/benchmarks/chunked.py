"""A large batch in chunks against one pass: ``python -m tests.benchmarks.chunked [--batch 32 --chunk 4 --crop 48]``.

SimCLR with a residual encoder (widths 16, 32, 64; group norm), one thread: the gradients of a batch of two crops a
scan, in one pass, in chunks, and of a batch no larger than a chunk. Each in a process of its own; the peak is the most
memory that it held (Linux), beyond what it held before the first step.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from medssl.encoders.resenc import ResEnc
from medssl.methods.contract import Context
from medssl.methods.contrastive.simclr import SimCLR
from medssl.training.chunked import learn_in_chunks
from medssl.views.view import Batch
from tests.methods.tiny import make_views

STEPS = 3


def batch_of(size: int, crop: int) -> Batch:
    """Random views of so many patients."""
    views = {}
    for role in ("view", "partner"):
        views[role] = make_views([(n, (0, 0, 0)) for n in range(size)], list(range(size)), shape=(16, 16, 16))
        views[role].image = torch.randn(size, 1, crop, crop, crop)
    return Batch(views, size)


def peak_mb() -> float:
    """The most memory that this process has held; a child's ``ru_maxrss`` begins with its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def measure(size: int, chunk: int, crop: int) -> dict[str, float]:
    """Seconds a step and the peak in MB; ``chunk`` 0 is one pass."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = ResEnc(1, widths=(16, 32, 64), blocks=(1, 1, 1), strides=(1, 2, 2), norm="group")
    method = SimCLR(encoder, norm="layer", hidden=256, outputs=64)
    batch, ctx = batch_of(size, crop), Context()
    before, seconds = peak_mb(), []
    for _ in range(STEPS):
        start = time.perf_counter()
        method.zero_grad()
        if chunk:
            _, loss, _ = learn_in_chunks(method, batch, ctx, chunk, lambda t, g, _: torch.autograd.backward(t, g))
        else:
            loss, _ = method.loss(method.encode(batch, ctx), batch, ctx)
            loss.backward()
        seconds.append(time.perf_counter() - start)
    norm = float(torch.stack([p.grad.norm() for p in method.parameters() if p.grad is not None]).norm())
    return {"seconds": statistics.median(seconds), "mb": peak_mb() - before, "loss": float(loss.detach()), "norm": norm}


def main() -> None:
    """Measure and print."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--batch", type=int, default=32)
    ask.add_argument("--chunk", type=int, default=4)
    ask.add_argument("--crop", type=int, default=48)
    ask.add_argument("--one", nargs=2, type=int, help=argparse.SUPPRESS)
    asked = ask.parse_args()
    if asked.one:
        print(json.dumps(measure(*asked.one, asked.crop)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    for words, size, chunk in (
        (f"batch {asked.batch}, one pass", asked.batch, 0),
        (f"batch {asked.batch}, chunks of {asked.chunk}", asked.batch, asked.chunk),
        (f"batch {asked.chunk}, one pass", asked.chunk, 0),
    ):
        command = [sys.executable, "-m", "tests.benchmarks.chunked", "--crop", str(asked.crop), "--one"]
        done = subprocess.run([*command, str(size), str(chunk)], check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        print(
            f"{words:28s} {found['seconds']:7.2f} s a step {found['mb']:7.0f} MB"
            f"   loss {found['loss']:.6f}, gradient {found['norm']:.6g}"
        )


if __name__ == "__main__":
    main()
