"""Convolution with a Gaussian along the axes of a view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medssl.views.kernels.choice import compiled

LEAST = 0.05
"""Standard deviation in voxels below which an axis is left as it is."""


def smoothed(image: Tensor, sigma: Sequence[float]) -> Tensor:
    """An image ``(C, i, j, k)`` convolved with a Gaussian, cut off at three standard deviations, the edge repeated.

    Args:
        image: float32.
        sigma: standard deviations along i, j and k, in voxels of the view.
    """
    kernels = [half_kernel(one) for one in sigma]
    if all(len(one) == 1 for one in kernels):
        return image.clone()
    if image.device.type == "cpu" and compiled() is not None:
        out = np.empty(tuple(image.shape), np.float32)
        blur = import_module("medssl.views.kernels.values").blur
        for channel, source in enumerate(image.detach().contiguous().numpy()):
            blur(source, *kernels, out[channel])
        return torch.from_numpy(out)
    found = image[:, None]
    for axis, half in enumerate(kernels):
        reach = len(half) - 1
        if reach == 0:
            continue
        weights = torch.from_numpy(np.concatenate([half[:0:-1], half])).to(image.device)
        shape = [1] * 5
        shape[axis + 2] = -1
        padding = [0] * 6
        # functional.pad counts the last axis first
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = reach
        found = functional.conv3d(functional.pad(found, padding, mode="replicate"), weights.reshape(shape))
    return found[:, 0]


def half_kernel(sigma: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Weights of the middle and of the voxels to one side; they add up to 1 with the other side's.

    Example:
        >>> half = half_kernel(1.0)
        >>> len(half), round(float(half[0] + 2 * half[1:].sum()), 6)
        (4, 1.0)
    """
    if sigma < LEAST:
        return np.ones(1, np.float32)
    steps = np.arange(max(1, math.ceil(3 * sigma)) + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    out: np.ndarray[tuple[int], np.dtype[np.float32]] = (weights / (weights[0] + 2 * weights[1:].sum())).astype("f4")
    return out


def sharpened(image: Tensor, amount: float, sigma: Sequence[float]) -> Tensor:
    """X + amount · (x − blurred x), in [0, 1]; below 0 the amount softens."""
    return smoothed(image, sigma).mul_(-amount).add_(image, alpha=1 + amount).clamp_(0.0, 1.0)
