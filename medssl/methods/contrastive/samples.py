"""The views of one sample side by side, whatever order the rows of a batch or of a gather have."""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.methods.contract import Context, EmptyBatchError, Vectors
from medssl.methods.contrastive.rows import members
from medssl.methods.roles import PAIR
from medssl.views.view import Batch


def by_sample(sample: Tensor, views: int) -> Tensor:
    """The rows of each sample that has so many, ``(S, views)`` int64, samples ascending.

    Within a sample rows stand as they came: where roles follow one another, the n-th column is that of the n-th role.

    Args:
        sample: ``(n,)`` the sample that each row is a view of.
        views: how many views a sample has; samples with more or fewer are left out.

    Example:
        >>> by_sample(torch.tensor([1, 0, 2, 0, 1]), 2).tolist()
        [[1, 3], [0, 4]]
    """
    order = sample.argsort(stable=True)
    _, place, count = torch.unique(sample, return_inverse=True, return_counts=True)
    return order[(count == views)[place][order]].reshape(-1, views)


def owners(batch: Batch, roles: tuple[str, ...]) -> Tensor:
    """The sample of every view of several roles, role by role, on this process."""
    return torch.cat([batch[role].owner for role in roles])


def pairs_of_all(vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, Tensor]:
    """Both views of the scans of all processes, each ``(S, d)``, for objectives that look at a whole batch.

    Args:
        vectors: of the roles of ``PAIR``.
        batch: of this process.
        ctx: its gather.

    Raises:
        EmptyBatchError: there are fewer than two scans, which have no variance.
    """
    rows = by_sample(members(batch, ctx).sample, len(PAIR))
    both = torch.cat([ctx.gather(vectors[role]) for role in PAIR])[rows]
    if len(rows) < 2:
        raise EmptyBatchError(
            f"variance needs two views each of 2 or more scans, got {len(rows)}",
            code="batch",
            hint="use a larger batch",
        )
    one, two = both.unbind(1)
    return one, two
