"""A few threads that share a long list of work: results in its order, never more in flight than memory allows."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from medssl.io.dicom.files import quiet

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int, str], None]

MOST_WORKERS = 4
"""Threads at most: reading is bound by the disk and by what holds the interpreter's lock."""

BUDGET_BYTES = 2 << 30
"""Memory of all work in flight, as far as its cost is known."""


def default_workers() -> int:
    """Threads that this process may use, ``MOST_WORKERS`` at most."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, usable))


def in_order(
    function: Callable[[T], R],
    items: Sequence[T],
    text: str,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    cost: Callable[[T], int] | None = None,
) -> Iterator[R]:
    """A function of every item, in the items' order.

    Args:
        function: what it raises is raised here, in the item's turn.
        items: the work.
        text: what is being done, for ``progress``.
        workers: threads; ``default_workers`` without it, and none at all for 1.
        progress: called with items done, items in all, and ``text``.
        cost: bytes that an item needs; work waits while more than ``BUDGET_BYTES`` are in flight.

    Example:
        >>> list(in_order(abs, [-1, 2, -3], "counting", workers=2))
        [1, 2, 3]
    """
    count = default_workers() if workers is None else max(1, workers)
    results = map(function, items) if min(count, len(items)) <= 1 else _shared(function, items, count, cost)
    for done, result in enumerate(results, 1):
        if progress is not None:
            progress(done, len(items), text)
        yield result


def _shared(
    function: Callable[[T], R], items: Sequence[T], workers: int, cost: Callable[[T], int] | None
) -> Iterator[R]:
    waiting: deque[tuple[Future[R], int]] = deque()
    held = 0
    # silenced once around all threads: each of them silences for itself too, which is not safe alone
    with quiet(), ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                need = cost(item) if cost is not None else 0
                while waiting and (len(waiting) > workers or held + need > BUDGET_BYTES):
                    future, given_back = waiting.popleft()
                    yield future.result()
                    held -= given_back
                waiting.append((pool.submit(function, item), need))
                held += need
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
