"""Waiting is measured, not guessed."""

from __future__ import annotations

from collections.abc import Iterator

from medssl.training.waiting import TimedLoader
from medssl.views.view import Batch


def _work(amount: int) -> int:
    return sum(n * n for n in range(amount))


def _slow(count: int) -> Iterator[Batch]:
    for step in range(count):
        _work(200_000)
        yield Batch({}, 1, step)


def test_a_slow_loader_takes_nearly_all_of_the_time() -> None:
    loader = TimedLoader(_slow(4), 4)
    assert [batch.step for batch in loader] == [0, 1, 2, 3]
    assert loader.clock.waited / loader.clock.total > 0.9


def test_a_slow_consumer_waits_little() -> None:
    loader = TimedLoader([Batch({}, 1, step) for step in range(4)], 4)
    for _ in loader:
        _work(200_000)
    assert len(loader) == 4
    assert loader.clock.waited / loader.clock.total < 0.1
