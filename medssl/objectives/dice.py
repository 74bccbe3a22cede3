"""Cross entropy and Dice of classes, as sums that can be added up over processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

SMOOTH = 1e-5
"""Added above and below, so that a class that is neither there nor predicted has Dice 1."""


@dataclass(frozen=True)
class ClassSums:
    """What both losses are made of.

    Args:
        overlap: ``(3, classes)``: Σ p·g, Σ p and Σ g of each class, p the probability and g 1 in its voxels.
        entropy: Σ −log p of the true class.
        count: voxels that were summed.
    """

    overlap: Tensor
    entropy: Tensor
    count: Tensor


def class_sums(logits: Tensor, label: Tensor, counts: Tensor) -> ClassSums:
    """Sums over the voxels that count, in float32 (float64 stays).

    Args:
        logits: ``(N, classes, i, j, k)``.
        label: ``(N, 1, i, j, k)`` int64, below ``classes`` where it counts.
        counts: ``(N, 1, i, j, k)`` bool.

    Example:
        >>> first = torch.zeros(1, 1, 2, 1, 1, dtype=torch.int64)
        >>> sums = class_sums(torch.zeros(1, 4, 2, 1, 1), first, first == 0)
        >>> round(float(sums.entropy / sums.count), 4), sums.overlap[:, 0].tolist()
        (1.3863, [0.5, 0.5, 2.0])
    """
    rows = logits.movedim(1, -1)[counts[:, 0]]
    rows = rows if rows.dtype == torch.float64 else rows.float()
    true = label[counts]
    sure, truth = rows.softmax(1), one_hot(true, rows.shape[1]).to(rows.dtype)
    overlap = torch.stack([(sure * truth).sum(0), sure.sum(0), truth.sum(0)])
    return ClassSums(overlap, cross_entropy(rows, true, reduction="sum"), counts.sum())


def dice_loss(overlap: Tensor) -> Tensor:
    """One minus the mean Dice of all classes, the background among them.

    Args:
        overlap: ``(3, classes)`` of ``ClassSums``, added up over processes.

    Example:
        >>> round(float(dice_loss(torch.tensor([[2.0, 0.0], [2.0, 3.0], [2.0, 3.0]]))), 4)
        0.5
    """
    both, found, true = overlap
    share: Tensor = (2 * both + SMOOTH) / (found + true + SMOOTH)
    return 1 - share.mean()
