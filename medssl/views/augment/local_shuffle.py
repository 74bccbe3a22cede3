"""Local shuffling: voxels change places within many small windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.errors import RecipeError
from medssl.views.about import PLAIN, About
from medssl.views.augment.intensity import Intensity, Range, check_chance, draw_strength


@dataclass(frozen=True)
class LocalShuffle(Intensity):
    """Fills windows with the voxels of the untouched view at the same place, in random order.

    Models Genesis (arXiv 2004.07882): texture and edges are lost, the shape of organs stays. A window that is drawn
    over an earlier one takes its voxels from the view, not from what stands there.

    Args:
        p: chance that a view is changed.
        strength: range of the longest edge of a window, as a share of the view's (the paper: 0.1).
        windows: how many (the paper: 10 000 for 64 × 64 × 32 voxels).
    """

    p: float = 0.5
    strength: Range = (0.1, 0.1)
    windows: int = 1000

    def __post_init__(self) -> None:
        check_chance(self.p, self.strength, 1.0)
        if self.windows < 1:
            raise RecipeError(f"windows must be at least 1, got {self.windows}")

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """``edge``, ``windows`` and the ``seed`` of places and orders."""
        edge = draw_strength(self.p, self.strength, rng)
        seed = int(rng.integers(2**62))
        return {} if edge is None else {"edge": edge, "windows": self.windows, "seed": seed}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """Shuffle window after window."""
        if not params:
            return image
        order = torch.from_numpy(shuffled(tuple(image.shape[1:]), params)).to(image.device)
        return image.reshape(len(image), -1)[:, order].reshape(image.shape)


def shuffled(shape: tuple[int, ...], params: Mapping[str, Any]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For every voxel the number of the one that takes its place."""
    rng = np.random.default_rng(params["seed"])
    places = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    out = places.copy()
    longest = np.maximum(1, np.floor(params["edge"] * np.asarray(shape))).astype(np.int64)
    sizes = rng.integers(1, longest + 1, (params["windows"], 3))
    starts = np.floor(rng.random((params["windows"], 3)) * (np.asarray(shape) - sizes + 1)).astype(np.int64)
    for (i, j, k), (di, dj, dk) in zip(starts.tolist(), sizes.tolist(), strict=True):
        window = np.s_[i : i + di, j : j + dj, k : k + dk]
        out[window] = rng.permutation(places[window].reshape(-1)).reshape(di, dj, dk)
    return out.reshape(-1)
