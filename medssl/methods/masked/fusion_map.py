"""Which class of fusion each voxel has: cells of a grid, or boxes drawn over one another.

Wang et al., *Volume Fusion*, arXiv 2306.16925: the class of a voxel is how much of the foreground is mixed into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from medssl.errors import RecipeError

Form = Literal["official", "nnssl"]
INVERTED = 0.25
"""Chance that both volumes are inverted together, in the official form."""
BOXES, SHARE = (10, 39), 0.625
"""Fewest and most boxes, and their longest edge as a share of the view's, in nnssl's form."""


@dataclass(frozen=True)
class FusionMap:
    """Draws one map a view.

    Args:
        form: ``official`` cuts the view into cells of one size, of which a share is foreground; ``nnssl`` draws 10 to
            39 boxes, of any class from 0 up, over one another.
        classes: K, beside the background.
        foreground: share of cells that are foreground (``official``).
        edge: shortest and longest edge of a cell; of a box the shortest. No longer than the view.

    Raises:
        RecipeError: the edges do not rise.
    """

    form: Form = "official"
    classes: int = 4
    foreground: float = 0.7
    edge: tuple[int, int] = (8, 32)

    def __post_init__(self) -> None:
        if not 1 <= self.edge[0] <= self.edge[1]:
            raise RecipeError(f"edge must be two rising numbers from 1, got {self.edge}", path="edge")

    def draw(self, shape: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Any]:
        """``cells`` with their ``edge``, ``offset`` and classes (hexadecimal), and ``inverted``; or ``boxes``."""
        return self._boxes(shape, rng) if self.form == "nnssl" else self._cells(shape, rng)

    def _cells(self, shape: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Any]:
        edge = [int(rng.integers(min(self.edge[0], n), min(self.edge[1], n) + 1)) for n in shape]
        offset = [int(rng.integers(0, n % e + 1)) for n, e in zip(shape, edge, strict=True)]
        cells = [n // e for n, e in zip(shape, edge, strict=True)]
        count = int(np.prod(cells))
        classes = np.zeros(count, np.uint8)
        chosen = rng.permutation(count)[: int(count * self.foreground)]
        classes[chosen] = rng.integers(1, self.classes + 1, len(chosen))
        inverted = bool(rng.random() < INVERTED)
        return {
            "cells": cells,
            "edge": edge,
            "offset": offset,
            "classes": classes.tobytes().hex(),
            "inverted": inverted,
        }

    def _boxes(self, shape: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Any]:
        boxes = []
        for _ in range(int(rng.integers(BOXES[0], BOXES[1] + 1))):
            short = [min(self.edge[0], n) for n in shape]
            size = [int(rng.integers(s, max(s, int(SHARE * n)) + 1)) for s, n in zip(short, shape, strict=True)]
            start = [int(rng.integers(0, n - s + 1)) for n, s in zip(shape, size, strict=True)]
            boxes.append([*start, *size, int(rng.integers(0, self.classes + 1))])
        return {"boxes": boxes, "inverted": False}


def class_map(numbers: Mapping[str, Any], shape: tuple[int, ...]) -> Tensor:
    """The class of every voxel, ``(i, j, k)`` int64.

    Args:
        numbers: from ``FusionMap.draw``.
        shape: of the view.

    Example:
        >>> class_map({"boxes": [[0, 0, 0, 2, 1, 1, 3], [1, 0, 0, 2, 1, 1, 0]]}, (4, 1, 1)).flatten().tolist()
        [3, 0, 0, 0]
    """
    out = torch.zeros(shape, dtype=torch.int64)
    if "boxes" in numbers:
        for i, j, k, di, dj, dk, number in numbers["boxes"]:
            out[i : i + di, j : j + dj, k : k + dk] = number
        return out
    classes = torch.from_numpy(np.frombuffer(bytes.fromhex(numbers["classes"]), np.uint8).astype(np.int64))
    inner = classes.reshape(numbers["cells"])
    for axis, edge in enumerate(numbers["edge"]):
        inner = inner.repeat_interleave(edge, dim=axis)
    i, j, k = numbers["offset"]
    out[i : i + inner.shape[0], j : j + inner.shape[1], k : k + inner.shape[2]] = inner
    return out
