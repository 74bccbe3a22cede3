"""Processes that take turns, to test what gathers: each sees the rows of all, and gradients flow into all of them."""

from collections.abc import Callable

import torch
from torch import Tensor


def shares(compute: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor], parts: list[Tensor]) -> list[Tensor]:
    """What each process computes; ``compute`` is given its part and a gather.

    The gather knows the parts of the others by running them up to the same call, so that it is exact and differentiable
    in all parts (its backward reaches every process, as the real one's does by summing).
    """
    return [compute(part, _gather(compute, parts, rank)) for rank, part in enumerate(parts)]


class _Reached(Exception):  # noqa: N818
    def __init__(self, value: Tensor) -> None:
        self.value = value


def _gather(
    compute: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor], parts: list[Tensor], rank: int
) -> Callable[[Tensor], Tensor]:
    made: list[Tensor] = []

    def asked(other: int, call: int) -> Tensor:
        seen = 0

        def replay(value: Tensor) -> Tensor:
            nonlocal seen
            if seen == call:
                raise _Reached(value)
            seen += 1
            return made[seen - 1]

        try:
            compute(parts[other], replay)
        except _Reached as reached:
            return reached.value
        raise RuntimeError(f"process {other} gathers fewer times than process {rank}")

    def gather(value: Tensor) -> Tensor:
        call = len(made)
        rows = [value if other == rank else asked(other, call) for other in range(len(parts))]
        made.append(torch.cat(rows))
        return made[-1]

    return gather
