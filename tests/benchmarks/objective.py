"""Time and memory of the contrastive objective over a bank: ``python tests/benchmarks/objective.py``.

4,096 queries beside their keys and a bank of 65,536 negatives, forward and backward, against InfoNCE as it is usually
written: the product, the keys' similarities before it, and a cross entropy. Each runs in a process of its own for the
peak of its memory (beyond what stood before it), and all take turns in one process for their time. ``matrix`` is one
float32 matrix of rows × bank.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from medssl.objectives.contrast_bank import Own, contrast_bank

TEMPERATURE = 0.2
PATIENTS = 5000


def inputs(rows: int, bank: int, width: int, bank_gradient: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Unit vectors of queries, keys and bank, and patients of queries and bank."""
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(count, width, generator=generator) for count in (rows, rows, bank)]
    query, key, memory = (functional.normalize(one, dim=1) for one in draws)
    ids = [torch.randint(PATIENTS, (count,), generator=generator) for count in (rows, bank)]
    return query.requires_grad_(), key, memory.requires_grad_(bank_gradient), *ids


def contenders(rows: int, bank: int, width: int, bank_gradient: bool) -> dict[str, Callable[[], Tensor]]:
    """Each gives the loss after its backward pass."""
    query, key, memory, patient, of_bank = inputs(rows, bank, width, bank_gradient)
    one, zero = torch.ones(rows, 1, dtype=torch.bool), torch.zeros(rows, 1, dtype=torch.bool)
    first = torch.zeros(rows, dtype=torch.long)

    def direct(excluded: bool = False) -> Tensor:
        away = query @ memory.T
        if excluded:
            away = away.masked_fill(patient[:, None] == of_bank[None, :], -torch.inf)
        logits = torch.cat([(query * key).sum(1, keepdim=True), away], dim=1) / TEMPERATURE
        return functional.cross_entropy(logits, first)

    def generic(**options: object) -> Tensor:
        own = Own((query * key).sum(1, keepdim=True), one, zero)
        return contrast_bank(query, memory, temperature=TEMPERATURE, own=own, **options)[0]  # type: ignore[arg-type]

    def others(which: slice) -> tuple[None, Tensor]:
        return None, patient[which, None] != of_bank[None, :]

    makes: dict[str, Callable[[], Tensor]] = {
        "direct": direct,
        "generic": generic,
        "generic, decoupled": lambda: generic(coupled=False),
        "generic, SupCon": lambda: generic(form="outside", others="all"),
        "direct, own patient excluded": lambda: direct(excluded=True),
        "generic, own patient excluded": lambda: generic(pairs=others),
    }

    def stepped(make: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def step() -> Tensor:
            query.grad = memory.grad = None
            loss = make()
            loss.backward()
            return loss.detach()

        return step

    return {name: stepped(make) for name, make in makes.items()}


def seconds(makes: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """Median of each, in turns."""
    found: dict[str, list[float]] = {name: [] for name in makes}
    for _ in range(rounds):
        for name, make in makes.items():
            start = time.perf_counter()
            make()
            found[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in found.items()}


def peak_gib(name: str, arguments: list[str]) -> float:
    """Peak of a process that runs one contender once, beyond its inputs and libraries."""
    run = subprocess.run(
        [sys.executable, __file__, *arguments, "--only", name], capture_output=True, text=True, check=True
    )
    return float(run.stdout)


def resident_gib() -> float:
    """Peak so far (kibibytes on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--bank", type=int, default=65536)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bank-gradient", action="store_true", help="the bank is learned, too")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    size = (given.rows, given.bank, given.width, given.bank_gradient)
    if given.only:
        # a small step first, so that libraries are loaded before the peak is taken
        contenders(8, 64, given.width, given.bank_gradient)[given.only]()
        make = contenders(*size)[given.only]
        before = resident_gib()
        make()
        print(resident_gib() - before)
        return
    # before anything large is made here: a child's peak starts at what its parent held
    peaks = {name: peak_gib(name, sys.argv[1:]) for name in contenders(8, 64, given.width, given.bank_gradient)}
    makes = contenders(*size)
    losses = {name: float(make()) for name, make in makes.items()}
    found = seconds(makes, given.rounds)
    matrix = given.rows * given.bank * 4 / 2**30
    print(f"{given.rows} × {given.bank}, width {given.width}, {'with' if given.bank_gradient else 'no'} bank gradient")
    print(f"torch {torch.__version__}, {platform.machine()}, {given.threads} thread(s), median of {given.rounds}\n")
    print("| | loss | s | times direct | peak GiB | peak in matrices |")
    print("|---|---|---|---|---|---|")
    for name in makes:
        beside = "direct, own patient excluded" if name.endswith("excluded") else "direct"
        peak, times = peaks[name], found[name] / found[beside]
        print(f"| {name} | {losses[name]:.4f} | {found[name]:.2f} | {times:.2f} | {peak:.2f} | {peak / matrix:.2f} |")


if __name__ == "__main__":
    main()
