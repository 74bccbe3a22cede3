"""Fields of random values from a counter: the same numbers on every device, in any order, for any batch."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from medssl.views.kernels.choice import compiled

Kind = Literal["normal", "uniform"]
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
LEVELS = 65536


def random_field(
    shape: tuple[int, ...], seed: int, kind: Kind = "normal", device: torch.device | str = "cpu"
) -> Tensor:
    """Independent values, a function of the seed and of each voxel's number alone.

    Sixteen bits of a hash of the counter choose among 65 536 quantiles, so that a processor and an accelerator give
    the same bits. The normal field reaches ±4.3 standard deviations.

    Args:
        shape: of the field.
        seed: any whole number from 0 to 2**64 - 1.
        kind: ``normal`` has mean 0 and variance 1, ``uniform`` lies between 0 and 1.
        device: where it is made.

    Returns:
        float32.

    Example:
        >>> field = random_field((64, 64, 64), 7)
        >>> abs(float(field.mean())) < 0.01, abs(float(field.std()) - 1) < 0.01
        (True, True)
    """
    count = int(np.prod(shape, dtype=np.int64))
    table = _table(kind)
    if torch.device(device).type == "cpu" and compiled() is not None:
        out = np.empty(count, np.float32)
        # imported where it is used: it brings numba
        import_module("medssl.views.kernels.values").fill(np.array([seed], np.uint64), table, out)
        return torch.from_numpy(out).reshape(shape)
    bits = _hashed(seed, -(-count // 4), torch.device(device))
    parts = torch.stack([(bits >> (16 * part)) & 0xFFFF for part in range(4)])
    return torch.from_numpy(table).to(device)[parts.reshape(-1)[:count]].reshape(shape)


def _hashed(seed: int, count: int, device: torch.device) -> Tensor:
    """Splitmix64 of seed and counter; int64 wraps around as uint64 does, and shifts are made logical by masks."""
    x = torch.arange(1, count + 1, dtype=torch.int64, device=device) * _signed(_MIX[0]) + _signed(seed)
    x = (x ^ _shifted(x, 30)) * _signed(_MIX[1])
    x = (x ^ _shifted(x, 27)) * _signed(_MIX[2])
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    return (x >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


@lru_cache(maxsize=2)
def _table(kind: Kind) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    middle = (np.arange(LEVELS) + 0.5) / LEVELS
    if kind == "uniform":
        return middle.astype(np.float32)
    quantiles = torch.special.ndtri(torch.from_numpy(middle)).numpy()
    # the middles of equal steps vary a little less than the law itself
    out: np.ndarray[tuple[int], np.dtype[np.float32]] = (quantiles / np.sqrt(np.mean(quantiles**2))).astype("f4")
    return out
