"""A pass over the data set before a stage: every scan is encoded once, and the method makes plain data of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from medssl import draws
from medssl.errors import MedsslError
from medssl.loading.plan import Sampler, Stage, Survey
from medssl.methods.contract import Context, Method
from medssl.views.view import Batch


class InOrder:
    """A sampler that takes the scans one after another, from ``first`` on.

    Args:
        first: the position that step 0 starts with.
    """

    def __init__(self, first: int = 0) -> None:
        self.first = first

    def draw(self, step: int, size: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
        """The next ``size`` scans."""
        start = self.first + step * size
        return [(position,) for position in range(start, start + size)]


Feed = Callable[[Sampler, int, int], Iterable[Batch]]
"""From a sampler, the samples a batch and the number of batches to the batches."""


def run_survey(method: Method, stage: Stage, scans: int, batch: int, feed: Feed, ctx: Context, seed: int = 0) -> Survey:
    """Encode all scans in order and ask the method what to keep.

    Args:
        method: encodes, then is asked for its survey.
        stage: names the views; the ids given to the method are those of its first role.
        scans: how many there are.
        batch: samples at a time.
        feed: makes batches.
        ctx: the method's context.
        seed: with the stage's name it sets the generator that the method's survey draws from.

    Raises:
        MedsslError: what the method left is not plain tensors (``method``).
    """
    method.eval()
    role = next(iter(stage.views))
    vectors: dict[str, list[Tensor]] = {}
    ids: dict[str, list[Tensor]] = {}
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    whole, rest = divmod(scans, batch)
    ctx.stage = stage.name
    with torch.no_grad():
        for sampler, size, count in ((InOrder(), batch, whole), (InOrder(whole * batch), rest, min(1, rest))):
            for found in feed(sampler, size, count) if count else ():
                ctx.generator.manual_seed(found.step)
                for name, value in method.encode(found.to(device), ctx).items():
                    vectors.setdefault(name, []).append(value.cpu())
                for name, value in found[role].ids.items():
                    ids.setdefault(name, []).append(value)
        ctx.generator.manual_seed(draws.torch_seed(seed, draws.STEP, draws.stable_int(stage.name)))
        left = method.survey(
            {name: torch.cat(parts) for name, parts in vectors.items()},
            {name: torch.cat(parts) for name, parts in ids.items()},
            ctx,
        )
    method.train()
    if not all(isinstance(value, Tensor) for value in left.values()):
        raise MedsslError(f"the survey of stage {stage.name!r} must be tensors by name", code="method")
    return {name: value.detach().cpu() for name, value in left.items()}
