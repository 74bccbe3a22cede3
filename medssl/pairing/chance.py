"""Random numbers for made-up vectors: drawn where the generator lives, used where the vectors are.

A method that makes vectors up for the rows of all processes must make the same ones on each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from medssl import draws


def common_generator(generator: torch.Generator, gather: Callable[[Tensor], Tensor], device: Tensor) -> torch.Generator:
    """A generator that draws the same on every process: seeded by the first process's.

    One process with a whole batch and several with parts of it then make up the same vectors.

    Args:
        generator: of this process; one number is drawn from it.
        gather: rows of all processes in rank order; must take int64.
        device: any tensor on the device that ``gather`` works with.

    Example:
        >>> one = common_generator(torch.Generator().manual_seed(3), lambda rows: rows, torch.zeros(1))
        >>> two = common_generator(torch.Generator().manual_seed(3), lambda rows: rows, torch.zeros(1))
        >>> bool((uniform((4,), one, torch.zeros(1)) == uniform((4,), two, torch.zeros(1))).all())
        True
    """
    seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(gather(seed.to(device.device))[0]))


def uniform(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Numbers in [0, 1), float32, on the device of ``like``."""
    return torch.rand(tuple(shape), generator=generator, device=generator.device).to(like.device)


def normal(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard normal numbers, float32, on the device of ``like``."""
    return torch.randn(tuple(shape), generator=generator, device=generator.device).to(like.device)


def beta(shape: Sequence[int], alpha: float, generator: torch.Generator, like: Tensor) -> Tensor:
    """Numbers of Beta(α, α), float32, on the device of ``like``.

    Args:
        shape: of the numbers.
        alpha: above 0; large ones keep to 1/2.
        generator: one number is drawn from it.
        like: a tensor on the device.

    Example:
        >>> one = beta((10_000,), 2.0, torch.Generator().manual_seed(0), torch.zeros(1))
        >>> round(float(one.mean()), 1), round(float(one.var()), 2)
        (0.5, 0.05)
    """
    # torch's own sampler of the distribution takes no generator
    seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
    return torch.from_numpy(draws.generator(seed).beta(alpha, alpha, tuple(shape))).float().to(like.device)
