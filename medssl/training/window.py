"""The pooled outputs of an encoder in the last steps, caught while it works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Features
from medssl.methods.contract import Method

ROWS = 256
"""Rows that are kept: batches of volumes are far too small for a rank, and a longer memory would mix networks."""


class Window:
    """The last rows that an encoder gave, over steps.

    Args:
        rows: ``(n, width)`` to begin with, as ``rows`` gave them.
        most: how many are kept.

    Example:
        >>> window = Window(most=3)
        >>> for step in range(3):
        ...     window.add(torch.full((2, 1), float(step)))
        >>> window.rows().flatten().tolist()
        [1.0, 2.0, 2.0]
    """

    def __init__(self, rows: Tensor | None = None, most: int = ROWS) -> None:
        self.most = most
        self._blocks: deque[Tensor] = deque() if rows is None or not len(rows) else deque([rows])

    def add(self, rows: Tensor) -> None:
        """Take rows in; those of an encoder of another width go."""
        if self._blocks and self._blocks[0].shape[1] != rows.shape[1]:
            self._blocks.clear()
        # blocks stay where they are until they are looked at: a step must not wait for a device
        self._blocks.append(rows.detach()[-self.most :].to(torch.float32, copy=True))
        kept = sum(len(block) for block in self._blocks)
        while kept - len(self._blocks[0]) >= self.most:
            kept -= len(self._blocks.popleft())

    def rows(self) -> Tensor:
        """``(n, width)`` float32 on the CPU, oldest first."""
        if not self._blocks:
            return torch.zeros(0, 0)
        return torch.cat([block.cpu() for block in self._blocks])[-self.most :].clone()


class Catch:
    """What an encoder gave since ``during`` was entered, until ``enough``."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._open = False

    @contextmanager
    def during(self, method: Method) -> Iterator[None]:
        """Catch the pooled outputs of the method's encoder, whoever calls it and how often."""
        encoder = getattr(method, "encoder", None)
        if not isinstance(encoder, nn.Module):
            encoder = method.exported()["encoder"]
        self._parts, self._open = [], True
        handle = encoder.register_forward_hook(self._keep)
        try:
            yield
        finally:
            handle.remove()
            self._open = False

    def enough(self) -> None:
        """Catch no more: what is encoded from now on is encoded for the second time."""
        self._open = False

    def gathered(self, gather: Callable[[Tensor], Tensor]) -> Tensor | None:
        """``(n, width)`` float32 of all processes, or None where the encoder was not called."""
        if not self._parts:
            return None
        rows, self._parts = torch.cat(self._parts), []
        return gather(rows)

    def _keep(self, encoder: nn.Module, asked: tuple[Any, ...], given: Any) -> None:
        if self._open and isinstance(given, Features) and given.pooled.ndim == 2:
            self._parts.append(given.pooled.detach().float())
