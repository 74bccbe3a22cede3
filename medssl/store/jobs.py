"""The processes of a preparation: how many, with how many threads each, and that none outlives the one it works for."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

SMALL_BYTES = 64 << 20
"""Sources that are smaller in all are prepared in the time that a second process takes to start."""

PROCESS_BYTES = 256 << 20
GROWTH = 20
"""Memory of a process beside its scan, and the most that a source's bytes grow to: unpacked, as floats, and copied."""

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes that are free, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return found[0] * 1024 if found else None


def fitting_jobs(sizes: Sequence[int], processors: int, memory: int | None) -> int:
    """As many processes as there are processors, and memory for that many of the largest scans.

    Args:
        sizes: bytes of each source that is to be prepared.
        processors: at most so many.
        memory: free bytes, or None where they are not known.

    Example:
        >>> fitting_jobs([200 << 20] * 10, 8, 16 << 30)
        3
        >>> fitting_jobs([1 << 20] * 10, 8, 16 << 30)
        1
    """
    if sum(sizes) < SMALL_BYTES:
        return 1
    most = processors if memory is None else memory // (PROCESS_BYTES + GROWTH * max(sizes))
    return max(1, min(processors, most, len(sizes)))


@contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh interpreters that share the processors among them.

    Each ends with the process that started it, however that ends; what was begun is cancelled on the way out.
    """
    # a fork of a process that runs threads can hang
    context = multiprocessing.get_context("spawn")
    with _few_threads(jobs), ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _few_threads(jobs: int) -> Iterator[None]:
    """What is started meanwhile takes its share of the processors; what the user has set stays."""
    share = str(max(1, cores() // jobs))
    added = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, share))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _end_with_parent() -> None:
    """A process that waits for work cannot tell by its queue that nobody will give it any."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_end, args=(parent.sentinel,), daemon=True).start()


def _wait_and_end(sentinel: int) -> None:
    wait([sentinel])
    # nothing is cleaned up: temporary files tell whose they are, and the next start removes them
    os._exit(1)
