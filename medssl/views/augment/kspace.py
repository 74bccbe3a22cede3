"""What goes wrong between the scanner's coil and its image: MR artefacts that are simple in k-space."""

from __future__ import annotations

import torch
from torch import Tensor


def frequencies(length: int, device: torch.device) -> Tensor:
    """Frequencies of a line in cycles a voxel, as the FFT orders them."""
    out: Tensor = torch.fft.fftfreq(length, device=device)
    return out


def along(values: Tensor, axis: int) -> Tensor:
    """A line of values shaped to meet axis ``axis`` (0, 1, 2) of an image ``(C, i, j, k)``."""
    shape = [1] * 4
    shape[axis + 1] = -1
    return values.reshape(shape)


def magnitude(k: Tensor, dims: tuple[int, ...], like: Tensor) -> Tensor:
    """The image of a k-space: its absolute value, in [0, 1]."""
    out: Tensor = torch.fft.ifftn(k, dim=dims).abs().to(like.dtype).clamp_(0.0, 1.0)
    return out
