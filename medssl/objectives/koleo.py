"""KoLeo: every vector keeps away from its nearest neighbour, so that vectors spread evenly over the sphere.

Sablayrolles et al., ICLR 2019, arXiv 1806.03198 (equation 3), as in DINOv2 (arXiv 2304.07193) and 3DINO
(arXiv 2501.11755): −mean log(d + ε) with d the distance of unit vectors to their nearest neighbour.

The released code hides a vector from itself with a similarity of −1, which is that of an antipode, too: of two opposite
vectors each may then take itself for its neighbour (8.4 instead of −log 2). Here it is hidden with −∞.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.objectives.cosine import unit

EPS = 1e-8
"""Added to each coordinate's difference and to the distance, as released: equal vectors cost −log(1e-8 (1 + √d))."""


@dataclass(frozen=True)
class KoLeo:
    """The loss and what entered it.

    Args:
        loss: mean over the rows that have a neighbour; 0 where none has.
        alone: rows that were dropped, being the only one of their group.
        distance: mean distance to the nearest neighbour, for the log.
    """

    loss: Tensor
    alone: Tensor
    distance: Tensor


def koleo(vectors: Tensor, group: Tensor | None = None, patient: Tensor | None = None) -> KoLeo:
    """Spread the vectors of each group.

    Crops of one scan should be in different groups (as released: one group for each global crop), or the crops of a
    pair push each other away. Groups are also what makes the loss the same for any number of processes: give each group
    a stated size and never let one straddle two processes.

    Args:
        vectors: ``(n, d)``, of any length.
        group: ``(n,)`` int64, only rows of one group are neighbours; None for a single group.
        patient: ``(n,)`` int64, -1 where unknown; rows of one known patient are no neighbours. None for all unknown.

    Example:
        Orthonormal vectors: −½ log 2.

        >>> round(float(koleo(torch.eye(4)).loss), 4)
        -0.3466
    """
    ids = [one for one in (group, patient) if one is not None]
    if vectors.ndim != 2 or any(one.shape != vectors.shape[:1] for one in ids):
        shapes = [tuple(one.shape) for one in (vectors, *ids)]
        raise ValueError(f"vectors must be (n, d) and group (n,), got {shapes}")
    rows = unit(vectors)
    if len(rows) == 0:
        nothing = rows.sum()
        return KoLeo(nothing, torch.zeros((), dtype=torch.int64, device=rows.device), nothing.detach())
    nearest, found = _nearest(rows.detach(), group, patient)
    distance = (rows - rows[nearest] + EPS).norm(dim=1)
    count = found.sum().clamp(min=1)
    loss = torch.where(found, -(distance + EPS).log(), 0.0).sum() / count
    return KoLeo(loss, (~found).sum(), torch.where(found, distance.detach(), 0.0).sum() / count)


@torch.no_grad()
def _nearest(rows: Tensor, group: Tensor | None, patient: Tensor | None) -> tuple[Tensor, Tensor]:
    """The nearest row of the group and of another patient, and whether there is one (else any row stands there)."""
    with torch.autocast(rows.device.type, enabled=False):
        similarity = rows @ rows.T
    hidden = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    if group is not None:
        hidden = hidden | (group[:, None] != group[None, :])
    if patient is not None:
        hidden = hidden | ((patient[:, None] == patient[None, :]) & (patient >= 0))
    best, nearest = similarity.masked_fill(hidden, -torch.inf).max(dim=1)
    return nearest, best > -torch.inf
