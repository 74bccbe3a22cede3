"""What a frozen encoder says of crops: its pooled vector, or its pyramid read at single voxels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from medssl.encoders.contract import Encoder, Features
from medssl.errors import UsageError

Rows = NDArray[np.float32]


def pooled_features(encoder: Encoder, images: Tensor, batch: int = 16) -> Rows:
    """The pooled vectors ``(N, width)`` of crops.

    Args:
        encoder: is put into evaluation mode for the time.
        images: ``(N, C, i, j, k)``.
        batch: crops that go through together.
    """
    return _passed(encoder, images, batch, lambda features, _: features.pooled)


def voxel_features(encoder: Encoder, images: Tensor, places: NDArray[np.int64], batch: int = 16) -> Rows:
    """All levels of the pyramid at single voxels, ``(N · V, channels of all levels)``.

    A level is interpolated trilinearly between the centres of its voxels, its border repeated outwards.

    Args:
        encoder: is put into evaluation mode for the time.
        images: ``(N, C, i, j, k)``.
        places: ``(N, V, 3)`` voxel indices of the crops.
        batch: crops that go through together.

    Raises:
        UsageError: the encoder gives no pyramid (``encoder``).
    """

    def read(features: Features, start: int) -> Tensor:
        if not features.pyramid:
            raise UsageError("a probe of voxels needs an encoder with a pyramid", code="encoder")
        some = torch.from_numpy(places[start : start + batch])
        levels = [at_voxels(level.data, some, images.shape[2:]) for level in features.pyramid]
        return torch.cat(levels, dim=2).flatten(0, 1)

    return _passed(encoder, images, batch, read)


def at_voxels(data: Tensor, places: Tensor, image: torch.Size | tuple[int, ...]) -> Tensor:
    """A feature map at voxels of the image that it was made from, ``(N, V, C)``.

    Args:
        data: ``(N, C, i, j, k)``.
        places: ``(N, V, 3)`` voxel indices of the image.
        image: its voxels along i, j and k.

    Example:
        >>> ramp = torch.tensor([0.5, 2.5]).reshape(1, 1, 2, 1, 1)  # the mean index of two voxels each
        >>> at_voxels(ramp, torch.tensor([[[0, 0, 0], [1, 0, 0], [3, 0, 0]]]), (4, 1, 1)).flatten().tolist()
        [0.5, 1.0, 2.5]
    """
    share = (2 * places + 1).double() / torch.tensor(image) - 1
    # the last axis is the first coordinate of a sampling grid
    grid = share.flip(-1).to(data.dtype).reshape(len(data), -1, 1, 1, 3).to(data.device)
    found = F.grid_sample(data, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.flatten(2).transpose(1, 2)


def _passed(encoder: Encoder, images: Tensor, batch: int, take: Callable[[Features, int], Tensor]) -> Rows:
    training = encoder.training
    device = next(encoder.parameters()).device
    encoder.eval()
    try:
        with torch.no_grad():
            found = [
                take(encoder(images[start : start + batch].to(device)), start).float().cpu()
                for start in range(0, len(images), batch)
            ]
    finally:
        encoder.train(training)
    return torch.cat(found).numpy()
