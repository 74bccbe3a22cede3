"""What live health costs a step: ``python tests/benchmarks/health.py``.

A step of SimCLR on the hippocampus recipe's encoder (6 scans, two crops of 32³ each) is the smallest that is worth
training. Time is that of the process's own core, so that other work on the machine counts little.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from medssl.encoders.build import build_encoder
from medssl.methods.contract import Context
from medssl.methods.contrastive.simclr import SimCLR
from medssl.training.health import Health
from medssl.training.histograms import FILE, MOST
from medssl.training.logs import TensorBoard
from medssl.training.pictures import save_arrays
from medssl.training.plan import Keep
from medssl.training.window import ROWS
from medssl.views.view import Batch
from tests.methods.tiny import make_views

SCANS, SIDE, RUNS = 6, 32, 15


def milliseconds(what: Callable[[], object]) -> float:
    """Median time of a core, after one run that does not count."""
    what()
    taken = []
    for _ in range(RUNS):
        start = time.process_time()
        what()
        taken.append(1e3 * (time.process_time() - start))
    return statistics.median(taken)


def main() -> None:
    """Print the time of a step, of health beside a step, and of a look."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = build_encoder("resenc", 1, widths=(16, 32, 64, 128), blocks=(1, 1, 1, 1), strides=(1, 2, 2, 2))
    method, ctx = SimCLR(encoder, hidden=256, outputs=64), Context()
    views = make_views([(n, (0, 0, 0)) for n in range(SCANS)], list(range(SCANS)), shape=(4, 4, 4))
    views = replace(views, image=torch.randn(SCANS, 1, SIDE, SIDE, SIDE))
    batch = Batch({"view": views, "partner": views}, SCANS, 0)

    def step(health: Health) -> None:
        with health.catching(method):
            vectors = method.encode(batch, ctx)
        method.loss(vectors, batch, ctx)[0].backward()  # type: ignore[no-untyped-call]

    every = Keep().health_every
    health = Health(every, 10**9)
    with torch.no_grad():
        vectors = method.encode(batch, ctx)
        for _ in range(ROWS // (2 * SCANS) + 1):
            with health.catching(method):
                method.encode(batch, ctx)
            health.after(replace(batch, step=1), vectors, method, ctx)
    for n in range(2 * MOST):
        health.after(replace(batch, step=every * n), vectors, method, ctx)
    plain = milliseconds(lambda: step(Health(0, 1)))

    def beside() -> None:
        for _ in range(100):
            with health.catching(method):
                encoder_hook()
            health.after(replace(batch, step=1), vectors, method, ctx)

    pooled = encoder(views.image)

    def encoder_hook() -> None:
        for hook in list(encoder._forward_hooks.values()):
            hook(encoder, (), pooled)

    each = milliseconds(beside) / 100
    look = milliseconds(lambda: health.after(replace(batch, step=0), vectors, method, ctx))
    with tempfile.TemporaryDirectory() as folder:
        board = TensorBoard(folder)
        assert health.last is not None
        counts = {kind: found.tolist() for kind, found in health.last.histograms.items()}

        def written() -> None:
            save_arrays(Path(folder) / FILE, health.arrays())
            for kind, found in counts.items():
                board.histogram(0, kind, found)

        write = milliseconds(written)
        board.close()
    cost = each + (look + write) / every
    print(f"a step of SimCLR, {SCANS} scans, two crops of {SIDE}³: {plain:.0f} ms")
    print(f"caught in every step: {each:.3f} ms; a look: {look:.1f} ms; written after it: {write:.1f} ms")
    print(f"health_every {every}: {cost:.2f} ms a step, {cost / plain:.2%}")


if __name__ == "__main__":
    main()
