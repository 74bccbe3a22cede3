"""Clusters of clusters, none too small to fill a batch: what is too small joins its neighbours, or is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.pairing.k_means import combined_labels


@dataclass(frozen=True)
class Groups:
    """Scans that may stand in one batch.

    Args:
        labels: ``(N,)`` int64, from 0; -1 for scans that are left out.
        merged: how many clusters were too small, and were joined.
        left_out: how many scans are left out.
    """

    labels: Tensor
    merged: int
    left_out: int

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.labels.max()) + 1


def settled(
    labels: Sequence[Tensor], counts: Sequence[int], patients: Tensor, scans: int, least_patients: int = 2
) -> Groups:
    """The clusters of all stages together (MCL, arXiv 2402.11816), with those that would starve joined.

    Clusters of clusters become small. One that is too small joins what else is too small in the cluster of the stage
    before that both lie in; where that is still too small, in the one before, and at last in the whole data set.

    Args:
        labels: of each stage ``(N,)``, the first stage first.
        counts: clusters of each stage.
        patients: ``(N,)`` whose scan each is, -1 where unknown.
        scans: how many a group needs.
        least_patients: how many known patients a group needs: one alone is no negative of its own.

    Example:
        Four scans a cluster but for the last two, which hold two each.

        >>> first = torch.tensor([0] * 4 + [1] * 8)
        >>> second = torch.tensor([0] * 4 + [0] * 4 + [1, 1, 2, 2])
        >>> found = settled([first, second], [2, 3], torch.arange(12), 4)
        >>> found.labels.tolist(), found.merged, found.left_out
        ([1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0], 2, 0)
    """
    size = len(labels[0])
    depth = torch.full((size,), len(labels))
    code = combined_labels(labels, counts)
    merged = 0
    for stage in range(len(labels), 0, -1):
        small = _small(depth == stage, code, patients, scans, least_patients)
        above = combined_labels(labels[: stage - 1], counts[: stage - 1]) if stage > 1 else torch.zeros_like(code)
        merged += len(torch.unique(code[small]))
        depth, code = depth.where(~small, stage - 1), code.where(~small, above)
    left = _small(depth == 0, code, patients, scans, least_patients)
    _, found = torch.unique(torch.stack([depth, code])[:, ~left], dim=1, return_inverse=True)
    out = torch.full_like(code, -1)
    out[~left] = found
    return Groups(out, merged, int(left.sum()))


def _small(here: Tensor, code: Tensor, patients: Tensor, scans: int, least_patients: int) -> Tensor:
    """``(N,)`` bool: scans of ``here`` whose cluster lacks scans or patients."""
    out = torch.zeros_like(here)
    for one in torch.unique(code[here]):
        member = here & (code == one)
        known = patients[member]
        if int(member.sum()) < scans or len(torch.unique(known[known >= 0])) < least_patients:
            out |= member
    return out
