"""How long training waits for data: the share of a step's wall time, measured and logged as ``data_wait``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from medssl.views.view import Batch


class TimedLoader:
    """A loader that knows how long its consumer waited.

    Args:
        loader: gives the batches.
        count: how many it will give.
    """

    def __init__(self, loader: Iterable[Batch], count: int) -> None:
        self.loader = loader
        self.count = count
        self.clock = Clock()

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        """The batches, each timed."""
        self.clock.start()
        for batch in self.loader:
            self.clock.got()
            yield batch
            # the consumer asks for the next batch: its step is over
            self.clock.asked()


class Clock:
    """Time spent waiting and time in all, for the last step and since the start."""

    def __init__(self) -> None:
        self.waited = self.total = 0.0
        self._asked = self._got = self._last_wait = 0.0

    def start(self) -> None:
        """The first batch is asked for."""
        self._asked = time.perf_counter()

    def got(self) -> None:
        """A batch has come."""
        self._got = time.perf_counter()
        self._last_wait = self._got - self._asked
        self.waited += self._last_wait

    def asked(self) -> None:
        """The step is over, and the next batch is asked for or there is none."""
        now = time.perf_counter()
        if self._got >= self._asked:
            self.total += now - self._asked
        self._asked = now

    def last(self) -> tuple[float, float]:
        """Seconds of the running step so far, and the share of them that went into waiting."""
        seconds = time.perf_counter() - self._asked
        return seconds, self._last_wait / max(seconds, 1e-9)
