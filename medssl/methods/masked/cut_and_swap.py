"""What SwinUNETR's pretraining does to a crop (arXiv 2111.14791): a turn, blocks of noise, blocks of another crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.errors import UsageError
from medssl.views.augment.fields import random_field
from medssl.views.view import Views

PLANE = (2, 3)
"""Axes of ``(C, i, j, k)`` that are turned."""
SHORT, LONG = 0.05, 0.25
"""A block's edges, as shares of the view's."""
SWAP = 0.5
"""Chance that blocks of the scan's other crop are taken over."""


@dataclass(frozen=True)
class CutAndSwap:
    """Draws what becomes of one view.

    Blocks are drawn until they hold a share of the view's voxels that is uniform between 0 and ``cut``; where they
    overlap, voxels count twice, as in the release.

    Args:
        cut: largest share that is cut out, and once more that is swapped.
        turns: whether the view is turned.
    """

    cut: float = 0.3
    turns: bool = True

    def draw(self, shape: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Any]:
        """``turns`` (0 to 3), ``cut`` and ``swap`` (blocks: first and one past the last voxel) and ``seed``."""
        turns, seed, swaps = int(rng.integers(4)), int(rng.integers(2**62)), bool(rng.random() < SWAP)
        cut = blocks(shape, self.cut, rng)
        swap = blocks(shape, self.cut, rng) if swaps else []
        return {"turns": turns if self.turns else 0, "cut": cut, "swap": swap, "seed": seed}


def blocks(shape: tuple[int, int, int], most: float, rng: np.random.Generator) -> list[list[int]]:
    """Blocks ``[i, j, k, i end, j end, k end]`` that hold U(0, most) of the voxels, overlaps counted twice.

    Example:
        >>> blocks((16, 16, 16), 0.0, np.random.default_rng(0))
        []
    """
    goal = rng.uniform(0, most) * float(np.prod(shape))
    short = [int(SHORT * n) for n in shape]
    # a block of a small view has one voxel at least, so that there is an end
    low = [max(1, s) for s in short]
    high = [max(a + 1, int(LONG * n)) for a, n in zip(low, shape, strict=True)]
    found: list[list[int]] = []
    total = 0
    while total < goal:
        start = [int(rng.integers(0, max(1, n - s))) for n, s in zip(shape, short, strict=True)]
        size = [int(rng.integers(a, b)) for a, b in zip(low, high, strict=True)]
        stop = [min(a + s, n) for a, s, n in zip(start, size, shape, strict=True)]
        found.append([*start, *stop])
        total += int(np.prod(np.subtract(stop, start)))
    return found


@dataclass(frozen=True)
class Distorted:
    """Views as SwinUNETR's tasks take them.

    Args:
        turned: ``(N, C, i, j, k)``, turned only: what is to be rebuilt.
        seen: the same, with blocks cut out and swapped.
        valid: of ``turned``.
        turns: ``(N,)`` int64 quarter turns.
    """

    turned: Tensor
    seen: Tensor
    valid: Tensor
    turns: Tensor


def distorted(views: Views) -> Distorted:
    """Do what was drawn, view after view; a view takes from the next of its sample, as that one is by then.

    Raises:
        UsageError: nothing was drawn for the views.
    """
    if len(views.params) != len(views) or any("numbers" not in one for one in views.params):
        raise UsageError("these views have no turns and blocks drawn for them", code="batch")
    drawn = [one["numbers"] for one in views.params]
    turned = torch.stack([_turn(image, one) for image, one in zip(views.image, drawn, strict=True)])
    valid = torch.stack([_turn(inside, one) for inside, one in zip(views.valid, drawn, strict=True)])
    seen = turned.clone()
    for row, other in enumerate(mates(views.owner.tolist())):
        _cut(seen[row], drawn[row]["cut"], drawn[row]["seed"])
        for box in drawn[row]["swap"] if other != row else ():
            seen[row][_place(box)] = seen[other][_place(box)]
    turns = torch.tensor([one["turns"] for one in drawn], dtype=torch.int64, device=turned.device)
    return Distorted(turned, seen.masked_fill_(~valid, 0.0), valid, turns)


def mates(owner: Sequence[int]) -> list[int]:
    """For every view the next one of its sample; itself where there is no other.

    Example:
        >>> mates([0, 0, 1, 2, 2])
        [1, 0, 2, 4, 3]
    """
    rows: dict[int, list[int]] = {}
    for row, sample in enumerate(owner):
        rows.setdefault(sample, []).append(row)
    return [rows[s][(rows[s].index(row) + 1) % len(rows[s])] for row, s in enumerate(owner)]


def _turn(image: Tensor, numbers: Mapping[str, Any]) -> Tensor:
    return torch.rot90(image, numbers["turns"], PLANE)


def _cut(image: Tensor, boxes: Sequence[Sequence[int]], seed: int) -> None:
    """Fill blocks with normal noise, each scaled so that it reaches from 0 to 1."""
    if not boxes:
        return
    noise = random_field(tuple(image.shape), seed, device=image.device).to(image.dtype)
    for box in boxes:
        block = noise[_place(box)]
        low, high = block.min(), block.max()
        image[_place(box)] = (block - low) / (high - low).clamp(min=torch.finfo(block.dtype).tiny)


def _place(box: Sequence[int]) -> tuple[slice, ...]:
    return (slice(None), *(slice(start, stop) for start, stop in zip(box[:3], box[3:], strict=True)))
