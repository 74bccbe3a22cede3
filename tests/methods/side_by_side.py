"""Two processes in one: each rank in a thread of its own, meeting where they gather."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Found = TypeVar("Found")


def side_by_side(works: Sequence[Callable[[Callable[[Tensor], Tensor]], Found]]) -> list[Found]:
    """What each work gives, called with a gather of the rows of all of them, differentiable, in their order.

    What is gathered may depend on what was gathered before, as in Sinkhorn's iterations.
    """
    shelf: list[Tensor] = [torch.empty(0)] * len(works)
    meeting = threading.Barrier(len(works), timeout=60)

    def run(rank: int) -> Found:
        def gather(value: Tensor) -> Tensor:
            shelf[rank] = value
            meeting.wait()
            whole = torch.cat(list(shelf))
            meeting.wait()
            return whole

        try:
            return works[rank](gather)
        except BaseException:
            meeting.abort()
            raise

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(run, rank) for rank in range(len(works))]
        errors = [future.exception() for future in futures]
        # the one that broke the meeting, rather than those that waited for it
        for error in sorted((one for one in errors if one), key=lambda e: isinstance(e, threading.BrokenBarrierError)):
            raise error
        return [future.result() for future in futures]
