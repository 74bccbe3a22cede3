"""Sliding windows over a whole scan, blended with a Gaussian, in bounded memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from medssl.errors import UsageError

SIGMA = 0.125
"""Standard deviation of the Gaussian, as a share of the window's length."""

Window = tuple[int, int, int]


def sliding_window(
    predict: Callable[[Tensor], Tensor],
    image: Tensor,
    window: Window,
    *,
    overlap: float = 0.5,
    batch: int | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Predict every window and average where they overlap, centres counting most.

    Args:
        predict: from ``(n, C, i, j, k)`` of the window's size to ``(n, K, i, j, k)`` of the same size.
        image: ``(C, i, j, k)``; a scan smaller than the window is padded with 0, the value of the background.
        window: voxels along i, j and k.
        overlap: least share of a window that the next one covers again.
        batch: windows at a time; by default as ``windows_at_once`` says.
        device: where ``predict`` works; the sums stay on the CPU in float32.
        progress: called with windows done and windows in all.

    Returns:
        ``(K, i, j, k)`` float32.

    Raises:
        UsageError: the overlap is not in [0, 1).

    Example:
        >>> image = torch.rand(1, 5, 7, 9)
        >>> torch.allclose(sliding_window(lambda x: 2 * x, image, (4, 4, 4)), 2 * image)
        True
    """
    if not 0 <= overlap < 1:
        raise UsageError(f"overlap must be in [0, 1), got {overlap}", path="overlap")
    batch = batch or windows_at_once(window)
    shape = (image.shape[1], image.shape[2], image.shape[3])
    padded, low = _pad(image, window)
    places = list(corners((padded.shape[1], padded.shape[2], padded.shape[3]), window, overlap))
    weight = gaussian(window)
    total: Tensor | None = None
    weights = torch.zeros(padded.shape[1:])
    for start in range(0, len(places), batch):
        some = places[start : start + batch]
        crops = torch.stack([padded[:, *_span(place, window)] for place in some])
        with torch.no_grad():
            found = predict(crops.to(device)).float().cpu()
        if total is None:
            total = torch.zeros(found.shape[1], *padded.shape[1:])
        for place, value in zip(some, found, strict=True):
            total[:, *_span(place, window)] += value * weight
            weights[_span(place, window)] += weight
        if progress is not None:
            progress(min(start + batch, len(places)), len(places))
    if total is None:
        raise UsageError("there is no window to predict", path="window")
    total /= weights
    return total[:, *(slice(a, a + n) for a, n in zip(low, shape, strict=True))]


def windows_at_once(window: Window) -> int:
    """How many windows are predicted together.

    At least two: on a CPU, torch convolves a single small window several times more slowly than one of two. At most
    what a window of 64³ voxels holds, so that memory does not grow.

    Example:
        >>> windows_at_once((32, 32, 32)), windows_at_once((96, 96, 96))
        (8, 2)
    """
    return max(2, 64**3 // math.prod(window))


def corners(shape: Window, window: Window, overlap: float) -> Iterator[Window]:
    """First voxels of the windows, evenly spread so that the first and the last touch the scan's ends.

    Example:
        >>> list(corners((5, 4, 4), (4, 4, 4), 0.5))
        [(0, 0, 0), (1, 0, 0)]
    """
    axes = []
    for length, size in zip(shape, window, strict=True):
        stride = max(1.0, size * (1 - overlap))
        count = math.ceil((length - size) / stride) + 1
        axes.append([round(n * (length - size) / max(1, count - 1)) for n in range(count)])
    yield from itertools.product(*axes)


def gaussian(window: Window) -> Tensor:
    """Weights of a window's voxels ``(i, j, k)``, 1 at most; never 0, so that every voxel has a weight."""
    out = torch.ones(window, dtype=torch.float64)
    for axis, size in enumerate(window):
        centre = (size - 1) / 2
        places = torch.arange(size, dtype=torch.float64)
        line = torch.exp(-0.5 * ((places - centre) / (SIGMA * size)) ** 2)
        out *= line.reshape([-1 if a == axis else 1 for a in range(3)])
    out /= out.max()
    return out.clamp_min(1e-5).float()


def _pad(image: Tensor, window: Window) -> tuple[Tensor, tuple[int, ...]]:
    """The image in the middle of at least a window, and how much was put before it along each axis."""
    short = [max(0, size - length) for size, length in zip(window, image.shape[1:], strict=True)]
    low = tuple(n // 2 for n in short)
    # torch counts padding from the last axis
    amounts = [side for n, a in zip(reversed(short), reversed(low), strict=True) for side in (a, n - a)]
    return torch.nn.functional.pad(image, amounts), low


def _span(place: Window, window: Window) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(place, window, strict=True))
