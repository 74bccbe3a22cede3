"""SwAV's codes: assignments of a batch to prototypes, for the other views of each sample to predict.

Caron et al., NeurIPS 2020, arXiv 2006.09882. The loss is ``across_views`` of the scores of all crops (student
temperature 0.1) with the codes of the full crops; embeddings and prototypes are unit vectors (the prototypes are
normalized after every step).
"""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.objectives.sinkhorn import Gather, alone, sinkhorn


def codes(
    scores: Tensor,
    queued: Tensor | None = None,
    epsilon: float = 0.05,
    iterations: int = 3,
    gather: Gather = alone,
    shared: bool = False,
) -> Tensor:
    """The codes of one full crop, balanced together with scores of earlier batches.

    With fewer rows than prototypes the codes cannot use all prototypes: queue scores of earlier embeddings (with the
    prototypes of now), or use fewer prototypes. Each full crop is assigned for itself, as in the paper.

    Across processes each gives its own rows with ``gather``, and its own part of the queue, or, where all hold the same
    queue, all of it with ``shared``, so that it counts once.

    Args:
        scores: ``(B, K)`` of this batch.
        queued: ``(Q, K)`` of earlier rows, only those that are filled.
        epsilon: of ``sinkhorn``.
        iterations: of ``sinkhorn``.
        gather: rows of all processes.
        shared: whether all processes give the same ``queued``.

    Returns:
        ``(B, K)`` float32 (float64 stays), without gradient; rows sum to 1.

    Example:
        >>> codes(torch.zeros(2, 4), torch.zeros(6, 4)).tolist()
        [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]
    """
    if queued is None:
        return sinkhorn(scores, epsilon, iterations, gather)
    if queued.shape[1:] != scores.shape[1:]:
        raise ValueError(f"queued scores must have {scores.shape[1]} prototypes, got {tuple(queued.shape)}")
    # the batch first, so that its rows are found whatever the queue holds
    rows = torch.cat([scores.detach(), queued.detach().to(scores.dtype)])
    weight = None
    if shared:
        processes = gather(scores.new_ones(1, dtype=torch.float32)).sum()
        weight = torch.cat([scores.new_ones(len(scores)), (1 / processes).expand(len(queued))])
    return sinkhorn(rows, epsilon, iterations, gather, weight)[: len(scores)]
