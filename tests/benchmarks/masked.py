"""What hiding cells saves: ``python tests/benchmarks/masked.py``.

Steps, forward and backward, of one encoder on one batch and mask. For CNNs: dense, dense with channels last in memory,
the published way (dense work, erased after every layer) and visible blocks with a gathered halo; the faster dense step
counts as one. For the ViT: every token through the encoder, or the visible ones, with MAE's decoder after either. Ways
take turns in one thread, and the median of the rounds' ratios is printed; time is that of the process's own core, so
that other work on the machine counts little. Peaks (Linux) are of processes of their own, above what they held before
the step.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import ctypes
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from medssl.encoders.build import build_encoder
from medssl.encoders.contract import Encoder
from medssl.encoders.masked import erased, leaving
from medssl.encoders.patches import to_patches
from medssl.heads.token_decoder import TokenDecoder

Step = Callable[[], None]
CASES: dict[str, tuple[str, dict[str, Any], int, int, int]] = {
    "ResEnc 32, 64, 128": ("resenc", {"widths": (32, 64, 128), "blocks": (1, 1, 1), "strides": (1, 2, 2)}, 96, 16, 1),
    "ResEnc of the recipe": (
        "resenc",
        {"widths": (16, 32, 64, 128), "blocks": (1, 1, 1, 1), "strides": (1, 2, 2, 2)},
        96,
        16,
        1,
    ),
    "the recipe, cells of 8": (
        "resenc",
        {"widths": (16, 32, 64, 128), "blocks": (1, 1, 1, 1), "strides": (1, 2, 2, 2)},
        32,
        8,
        6,
    ),
    "ResNet-18, batch norm": ("resnet", {"depth": 18, "width": 16, "stem_stride": 1}, 96, 16, 1),
    "ViT 384, depth 12": ("vit", {"patch": 16}, 96, 16, 2),
}
"""Name → encoder, its settings, edge of the crop, edge of a cell, batch."""


def cells(ratio: float, grid: int, batch: int) -> Tensor:
    """The same number of hidden cells in every sample."""
    draw = torch.rand(batch, grid**3, generator=torch.Generator().manual_seed(1))
    rank = draw.argsort(1).argsort(1)
    return (rank < round(ratio * grid**3)).reshape(batch, grid, grid, grid)


def backward(maps: list[Tensor]) -> None:
    """A gradient for every site of every map."""
    torch.autograd.backward([1e-4 * level.square().sum() for level in maps])


def convolutional(encoder: Encoder, x: Tensor, hidden: Tensor) -> dict[str, Step]:
    """Each way of a CNN's step."""

    def dense(layout: torch.memory_format) -> Step:
        def step() -> None:
            encoder.to(memory_format=layout)  # type: ignore[call-overload]
            backward([level.data for level in encoder(x.contiguous(memory_format=layout)).pyramid])

        return step

    def published() -> None:
        encoder.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        with erased(encoder, hidden, "dense") as sites:
            maps = [leaving(sites, level) for level in encoder._levels(sites.erase(x))]  # type: ignore[operator]
        backward(maps)

    def blocks() -> None:
        encoder.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        backward([level.data for level in encoder(x, hidden).pyramid])

    return {
        "dense": dense(torch.contiguous_format),
        "dense, channels last": dense(torch.channels_last_3d),
        "erased": published,
        "blocks": blocks,
    }


def transformer(encoder: Encoder, x: Tensor, hidden: Tensor) -> dict[str, Step]:
    """MAE's step with every token, or the visible ones, through the encoder."""
    patch = encoder.strides[0]
    decoder = TokenDecoder(encoder.width, patch, 1, width=192, depth=2, heads=6)
    target = to_patches(x, patch)

    def through(fill: str) -> Step:
        def step() -> None:
            tokens = encoder(x, hidden, fill).tokens
            assert tokens is not None
            error = (decoder(tokens) - target).square().mean(2)
            error[hidden.flatten(1)].mean().backward()  # type: ignore[no-untyped-call]

        return step

    return {"every token": through("learned"), "visible tokens": through("drop")}


def steps(case: str, ratio: float) -> dict[str, Step]:
    """Each way of a case's step."""
    name, settings, crop, cell, batch = CASES[case]
    torch.manual_seed(0)
    encoder = build_encoder(name, 1, **settings)
    x = torch.randn(batch, 1, crop, crop, crop)
    make = transformer if name == "vit" else convolutional
    ways = make(encoder, x, cells(ratio, crop // cell, batch))

    def cleared(way: Step) -> Step:
        def step() -> None:
            encoder.zero_grad()
            way()

        return step

    return {way: cleared(step) for way, step in ways.items()}


def rounds(ways: dict[str, Step], runs: int) -> dict[str, list[float]]:
    """Seconds of each way, which take turns; the first round does not count."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for run in range(runs + 1):
        for way, step in ways.items():
            start = time.process_time()
            step()
            if run:
                taken[way].append(time.process_time() - start)
    return taken


def resident(field: str) -> float:
    """Megabytes of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(lines[field].split()[0]) / 1024


def peak(case: str, ratio: float, way: str) -> float:
    """Megabytes that a step takes at most, in a process of its own."""
    command = [sys.executable, __file__, "--peak", case, str(ratio), way]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_peak(case: str, ratio: float, way: str) -> None:
    """Print a step's peak; a first step has loaded what is loaded once."""
    step = steps(case, ratio)[way]
    step()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    step()
    print(resident("VmHWM") - before)


def report(case: str, ratio: float, runs: int) -> None:
    """Print a case's rows."""
    taken = rounds(steps(case, ratio), runs)
    medians = {way: statistics.median(seconds) for way, seconds in taken.items()}
    reference = min((way for way in taken if way.startswith(("dense", "every"))), key=medians.__getitem__)
    for way, seconds in taken.items():
        share = statistics.median(a / b for a, b in zip(seconds, taken[reference], strict=True))
        print(f"| {case} | {ratio:.0%} | {way} | {medians[way]:.2f} | {share:.2f} | {peak(case, ratio, way):.0f} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--case", choices=[*CASES], action="append")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak:
        measure_peak(args.peak[0], float(args.peak[1]), args.peak[2])
        return
    print("| encoder | hidden | way | s a step | of the dense step | peak MB |\n|---|---|---|---|---|---|")
    for case in args.case or CASES:
        for ratio in (0.75,) if CASES[case][0] == "vit" else (0.6, 0.75):
            report(case, ratio, args.runs)


if __name__ == "__main__":
    main()
