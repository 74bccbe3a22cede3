"""Sliding windows against the plain way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from medssl.errors import UsageError
from medssl.inference.window import corners, gaussian, sliding_window


def _predict(crops: Tensor) -> Tensor:
    """Depends on the place in the window, so that blending matters."""
    ramp = torch.arange(crops.shape[2]).float().reshape(1, 1, -1, 1, 1)
    return torch.cat([crops * (1 + ramp), crops.flip(2) + ramp], dim=1)


def _plain(image: Tensor, window: tuple[int, int, int], overlap: float) -> np.ndarray:
    """Voxel by voxel: the weighted mean over the windows that hold it."""
    shape = image.shape[1:]
    stride = [max(1.0, w * (1 - overlap)) for w in window]
    counts = [math.ceil((n - w) / s) + 1 for n, w, s in zip(shape, window, stride, strict=True)]
    starts = [
        [round(m * (n - w) / max(1, c - 1)) for m in range(c)] for n, w, c in zip(shape, window, counts, strict=True)
    ]
    total, weights = np.zeros((2, *shape)), np.zeros(shape)
    for i, j, k in itertools.product(*starts):
        crop = image[:, i : i + window[0], j : j + window[1], k : k + window[2]]
        found = _predict(crop[None])[0].double().numpy()
        for a, b, c in np.ndindex(*window):
            distance = sum(((p - (w - 1) / 2) / (0.125 * w)) ** 2 for p, w in zip((a, b, c), window, strict=True))
            least = sum((((w - 1) / 2 - (w - 1) // 2) / (0.125 * w)) ** 2 for w in window)
            weight = max(math.exp(-0.5 * (distance - least)), 1e-5)
            total[:, i + a, j + b, k + c] += weight * found[:, a, b, c]
            weights[i + a, j + b, k + c] += weight
    return total / weights


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_it_is_the_weighted_mean_of_the_windows(overlap: float) -> None:
    image = torch.rand(1, 7, 5, 6)
    got = sliding_window(_predict, image, (4, 4, 3), overlap=overlap, batch=3)
    np.testing.assert_allclose(got.numpy(), _plain(image, (4, 4, 3), overlap), rtol=1e-4, atol=1e-5)


def test_a_scan_smaller_than_the_window_is_padded_and_cut_again() -> None:
    image = torch.rand(1, 3, 9, 2)
    seen: list[tuple[int, ...]] = []

    def predict(crops: Tensor) -> Tensor:
        seen.append(tuple(crops.shape[2:]))
        return crops

    got = sliding_window(predict, image, (6, 4, 8))
    assert set(seen) == {(6, 4, 8)}
    assert torch.allclose(got, image)


def test_windows_touch_both_ends_and_overlap_enough() -> None:
    places = sorted({k for _, _, k in corners((4, 4, 37), (4, 4, 10), 0.5)})
    assert (places[0], places[-1]) == (0, 27)
    assert max(b - a for a, b in itertools.pairwise(places)) <= 5


def test_weights_are_symmetric_and_never_zero() -> None:
    weight = gaussian((5, 6, 7))
    assert torch.allclose(weight, weight.flip(0, 1, 2))
    assert float(weight.min()) > 0
    assert float(weight.max()) == 1.0


def test_progress_counts_windows() -> None:
    told: list[tuple[int, int]] = []
    sliding_window(lambda x: x, torch.zeros(1, 8, 4, 4), (4, 4, 4), batch=2, progress=lambda d, t: told.append((d, t)))
    assert told == [(2, 3), (3, 3)]


def test_an_overlap_of_one_is_refused() -> None:
    with pytest.raises(UsageError, match="overlap must be in"):
        sliding_window(lambda x: x, torch.zeros(1, 4, 4, 4), (4, 4, 4), overlap=1.0)
