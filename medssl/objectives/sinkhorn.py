"""Sinkhorn–Knopp: scores of samples and prototypes to assignments that use all prototypes alike.

Cuturi, NeurIPS 2013, arXiv 1306.0895; as used by SwAV (Caron et al., NeurIPS 2020, arXiv 2006.09882, section 3.1) and
by DINOv2 (arXiv 2304.07193). Worked on logarithms: e^(1/0.05) = 4.9e8 would overflow half precision.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Gather = Callable[[Tensor], Tensor]


def alone(value: Tensor) -> Tensor:
    """The gather of a single process: the value itself."""
    return value


@torch.no_grad()
def sinkhorn(
    scores: Tensor, epsilon: float = 0.05, iterations: int = 3, gather: Gather = alone, weight: Tensor | None = None
) -> Tensor:
    """Assignments whose rows sum to 1 exactly, and whose columns approach the share of samples per prototype, n/K.

    Each iteration makes columns equal and then rows 1, so that rows are exact and columns the better, the more
    iterations and the larger ε. A column that no sample can have (−∞ everywhere) stays empty.

    Across processes: give each its own rows and ``gather``; what passes between processes is one number a prototype.

    Args:
        scores: ``(n, K)``; the more, the rather.
        epsilon: what scores are divided by; the smaller, the sharper.
        iterations: at least 1.
        gather: rows of all processes.
        weight: ``(n,)`` above 0, how much each row counts where prototypes are made equal; None for all alike. A row
            that W processes hold counts 1/W on each.

    Returns:
        ``(n, K)`` float32 (float64 stays), without gradient.

    Example:
        >>> sinkhorn(torch.zeros(2, 4)).tolist()
        [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]
    """
    if scores.ndim != 2 or epsilon <= 0 or iterations < 1:
        got = f"{tuple(scores.shape)}, {epsilon} and {iterations}"
        raise ValueError(f"scores must be (n, K), epsilon above 0 and iterations 1 or more, got {got}")
    logs = scores.to(torch.promote_types(scores.dtype, torch.float32)) / epsilon
    counted = logs.new_zeros(()) if weight is None else weight.to(logs.dtype).log().unsqueeze(1)
    for _ in range(iterations):
        columns = torch.logsumexp(gather(torch.logsumexp(logs + counted, dim=0, keepdim=True)), dim=0)
        logs = logs - torch.where(columns == -torch.inf, 0.0, columns)
        logs = logs - torch.logsumexp(logs, dim=1, keepdim=True)
    return logs.exp()
