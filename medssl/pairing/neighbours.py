"""The nearest rows of a memory, by cosine, exactly: the support of NNCLR (arXiv 2104.14548) and Mugs (2203.14415)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.objectives.cosine import unit
from medssl.pairing.members import Members
from medssl.pairing.pairs import differ


@dataclass(frozen=True)
class Nearest:
    """The nearest rows of a memory, nearest first.

    Args:
        similarity: ``(n, k)`` float32 cosines; −inf where fewer than k rows were eligible.
        index: ``(n, k)`` int64 rows of the memory, -1 there.
    """

    similarity: Tensor
    index: Tensor

    def rows(self, memory: Tensor, queries: Tensor) -> Tensor:
        """``(n, k, d)`` rows of the memory; a query itself where it has no neighbour."""
        missing = (self.index < 0)[:, :, None]
        taken = memory[self.index.clamp(min=0)] if len(memory) else queries[:, None].expand(*self.index.shape, -1)
        return torch.where(missing, queries[:, None].to(taken.dtype), taken)


@torch.no_grad()
def nearest(
    queries: Tensor,
    memory: Tensor,
    k: int = 1,
    *,
    rows: Members | None = None,
    columns: Members | None = None,
    other: str = "patient",
    block: int = 8192,
) -> Nearest:
    """The k rows of the memory with the largest cosine to each query.

    Never more than ``(n, block)`` cosines stand in memory at once; the answer is the same for any block, except that
    among rows of exactly equal cosine any may be taken.

    Args:
        queries: ``(n, d)``.
        memory: ``(M, d)``.
        k: how many, at least 1.
        rows: members of the queries; given with ``columns``, only rows of the memory whose id ``other`` is known and
            differs from the query's are eligible.
        columns: members of the memory.
        other: ``patient``, or ``record`` where other scans of the patient may be neighbours.
        block: rows of the memory at a time.

    Raises:
        ValueError: k or ``block`` is below 1, or only one of ``rows`` and ``columns`` is given.

    Example:
        >>> found = nearest(torch.eye(2), torch.tensor([[1.0, 1.0], [0.0, 3.0]]), 1)
        >>> found.index.tolist()
        [[0], [1]]
    """
    if k < 1 or block < 1 or (rows is None) != (columns is None):
        raise ValueError(f"k and block must be at least 1, and rows go with columns; got {k} and {block}")
    query = unit(queries)
    best = query.new_full((len(query), k), -torch.inf)
    index = torch.full((len(query), k), -1, dtype=torch.int64, device=query.device)
    for start in range(0, len(memory), block):
        part = slice(start, min(start + block, len(memory)))
        scores = query @ unit(memory[part]).T.to(query.dtype)
        if rows is not None and columns is not None:
            scores = scores.masked_fill(~differ(other, rows, columns[part]), -torch.inf)
        place = torch.arange(part.start, part.stop, device=query.device).expand_as(scores)
        best, taken = torch.cat([best, scores], dim=1).topk(k, dim=1)
        index = torch.cat([index, place], dim=1).gather(1, taken)
    return Nearest(best.clamp(max=1.0), index.masked_fill(best == -torch.inf, -1))
