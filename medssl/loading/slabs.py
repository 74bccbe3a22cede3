"""Memory for batches that is used again: what a batch lay in serves the next once nobody holds it any more.

New memory costs a page fault every 4 KiB, which takes as long as copying a crop into it; memory that two processes
share costs several times that.
"""

from __future__ import annotations

import mmap
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

SLOTS = 5
"""Slabs of a worker: two batches that it is ahead, and up to three that the training process holds."""

KEPT = 2
"""Slabs that wait for the next batch where there are no workers."""


class Slabs(ABC):
    """Gives memory out."""

    @abstractmethod
    def take(self, size: int) -> Tensor | None:
        """``(size,)`` uint8 whose content is undefined, or None where there is none left."""


class OwnSlabs(Slabs):
    """Memory of this process."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {"_free": []}

    def take(self, size: int) -> Tensor:
        """A slab that is free and of this size, else a new one."""
        at = next((n for n, slab in enumerate(self._free) if slab.size == size), None)
        slab = np.empty(size, np.uint8) if at is None else self._free.pop(at)
        return _lent(slab, self._give_back)

    def _give_back(self, slab: NDArray[np.uint8]) -> None:
        if len(self._free) < KEPT:
            self._free.append(slab)


class SharedSlabs(Slabs):
    """Memory that worker processes write and the training process reads, without a file name and without a limit.

    A worker marks a slab as taken; the training process marks it as free once the last tensor in it is gone. Nothing
    is copied on the way and nothing is left behind, however the processes end.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self._files = [os.memfd_create("medssl") for _ in range(workers * SLOTS + 1)]
        # not an array of multiprocessing's: such memory is given to others while workers may still write to it
        os.ftruncate(self._files[-1], 8 * workers + workers * SLOTS)
        self._note(workers)
        self._hand[:] = -1
        self._maps: dict[int, NDArray[np.uint8]] = {}
        self._last: tuple[int, Tensor] | None = None
        self._closing = weakref.finalize(self, _close, self._files, os.getpid())

    def __getstate__(self) -> dict[str, Any]:
        if get_spawning_popen() is None:
            raise TypeError("shared memory goes to processes that are being started, nowhere else")
        return {"files": [DupFd(file) for file in self._files], "workers": len(self._hand)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._files = [file.detach() for file in state["files"]]
        self._maps, self._last = {}, None
        self._note(state["workers"])

    def _note(self, workers: int) -> None:
        notes = np.frombuffer(mmap.mmap(self._files[-1], 0), np.uint8)
        self._hand, self._taken = notes[: 8 * workers].view(np.int64), notes[8 * workers :]

    def hold(self, position: int) -> None:
        """Say which scan this worker has in hand, for the training process to read should it die of it."""
        worker = get_worker_info()
        if worker is not None:
            self._hand[worker.id] = position

    def in_hand(self) -> list[int]:
        """The scans that workers were at when they were last heard of."""
        return sorted({int(position) for position in self._hand if position >= 0})

    def take(self, size: int) -> Tensor | None:
        """One of this worker's slabs, or None where the training process still holds all of them."""
        worker = get_worker_info()
        if worker is None:
            return None
        slots = range(worker.id * SLOTS, (worker.id + 1) * SLOTS)
        slot = next((slot for slot in slots if not self._taken[slot]), None)
        if slot is None:
            return None
        self._taken[slot] = 1
        if os.fstat(self._files[slot]).st_size < size:
            os.ftruncate(self._files[slot], size)
        slab = torch.from_numpy(self._mapped(slot)[:size])
        self._last = (slot, slab)
        return slab

    @property
    def slot(self) -> int | None:
        """The slab that was taken and not sent yet."""
        return None if self._last is None else self._last[0]

    def place_of(self, tensor: Tensor) -> int | None:
        """The first byte of a tensor in that slab, None where it does not lie there."""
        if self._last is None or not tensor.is_contiguous():
            return None
        slab = self._last[1]
        first = tensor.data_ptr() - slab.data_ptr()
        return first if first >= 0 and first + tensor.numel() * tensor.element_size() <= slab.numel() else None

    def sent(self) -> None:
        """It is the training process's now."""
        self._last = None

    def give_back(self) -> None:
        """It is not sent after all."""
        if self._last is not None:
            self._free(self._last[0])
            self._last = None

    def _free(self, slot: int) -> None:
        self._taken[slot] = 0

    def open(self, slot: int) -> Tensor:
        """The content of a slab in the training process; it is free again when no tensor in it is left."""
        owner = os.getpid()

        def give_back(_: NDArray[np.uint8]) -> None:
            # a process that was forked meanwhile has a copy of the tensors, and nothing to say
            if os.getpid() == owner:
                self._free(slot)

        return _lent(self._mapped(slot), give_back)

    def _mapped(self, slot: int) -> NDArray[np.uint8]:
        size = os.fstat(self._files[slot]).st_size
        found = self._maps.get(slot)
        if found is None or found.size != size:
            found = self._maps[slot] = np.frombuffer(mmap.mmap(self._files[slot], size), np.uint8)
        return found


def can_share() -> bool:
    """Whether the system has memory without a name."""
    return hasattr(os, "memfd_create")


def _lent(slab: NDArray[np.uint8], give_back: Callable[[NDArray[np.uint8]], None]) -> Tensor:
    # the view lives as long as any tensor that lies in it
    view = slab[:]
    weakref.finalize(view, give_back, slab).atexit = False
    return torch.from_numpy(view)


def _close(files: list[int], owner: int) -> None:
    if os.getpid() == owner:
        for file in files:
            os.close(file)
