"""Mean-entropy maximization (me-max): all prototypes are used alike, over the batch.

Assran et al., ECCV 2022, arXiv 2204.07141 (section 3); as log K − H in SongCi, arXiv 2407.14904.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.objectives.sinkhorn import Gather, alone


def unevenness(scores: Tensor, temperature: float, gather: Gather = alone) -> Tensor:
    """The loss log K − H(mean softmax(s/τ)): 0 when the mean assignment is even, log K when it is one prototype.

    Across processes: with a differentiable ``gather`` every process has the value of all rows, and the mean of the
    gradients is that of one process with all rows. Averaging the loss of each process is not the same.

    Args:
        scores: ``(n, K)``; n may differ between processes.
        temperature: τ.
        gather: rows of all processes, differentiable; what passes between them is one row.

    Example:
        >>> one = torch.tensor([[100.0, 0.0], [0.0, 100.0]])
        >>> float(unevenness(one, 1.0)), round(float(unevenness(one[:1], 1.0)), 4)
        (0.0, 0.6931)
    """
    exact = torch.promote_types(scores.dtype, torch.float32)
    assigned = torch.softmax(scores.to(exact) / temperature, dim=-1).sum(dim=0, keepdim=True)
    count = gather(assigned.new_full((1, 1), len(scores))).sum()
    mean = gather(assigned).sum(dim=0) / count.clamp(min=1)
    # x log x is 0 at 0, and so is what xlogy's gradient is multiplied with
    negative_entropy = torch.xlogy(mean, mean.clamp(min=torch.finfo(exact).tiny)).sum()
    return negative_entropy + float(torch.tensor(scores.shape[1], dtype=torch.float64).log())
