"""Who is whose positive and negative: weights from ids alone, so that they can be gathered and queued with vectors.

The rule of the house: two vectors of one patient are never negatives of each other unless that is asked for. A
patient id of -1 stands for "unknown". Whether an unknown patient differs from another cannot be told, so a pair with
an unknown patient is not a negative either; rows that are left without negatives are dropped by the objective, which
counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.views.view import Views

UNKNOWN = -1


@dataclass(frozen=True)
class Members:
    """What must be known of each vector.

    Args:
        sample: ``(n,)`` int64, the drawn sample that each view belongs to, unique across processes.
        view: ``(n,)`` int64, unique for each view across processes: a vector is no partner of itself.
        patient: ``(n,)`` int64, -1 where unknown.
    """

    sample: Tensor
    view: Tensor
    patient: Tensor

    def __len__(self) -> int:
        return int(self.sample.shape[0])


@dataclass(frozen=True)
class Relation:
    """Weights of every pair of a query and a target; 0 leaves the pair out.

    Args:
        positive: ``(n, M)`` W⁺.
        negative: ``(n, M)`` W⁻.
    """

    positive: Tensor
    negative: Tensor


def members_of(views: Views, gather: Callable[[Tensor], Tensor]) -> Members:
    """The members of all processes, in rank order.

    Args:
        views: the views of this process.
        gather: rows of all processes in rank order; must take int64.
    """
    owner = gather(views.owner)
    # the first row of each process is marked, so that counting marks gives the rank of every row
    mark = torch.zeros_like(views.owner)
    mark[:1] = 1
    rank = gather(mark).cumsum(0) - 1
    sample = rank * (owner.max() + 1) + owner
    return Members(sample, torch.arange(len(owner), device=owner.device), gather(views.ids["patient"]))


def same_sample(query: Members, target: Members, *, same_patient_negatives: bool = False) -> Relation:
    """Positives are the other views of the same sample; negatives the views of other patients.

    Args:
        query: members of the rows.
        target: members of the columns.
        same_patient_negatives: take every other sample as a negative, whoever the patient is.

    Example:
        Samples 0 and 1 of one patient, sample 2 of another, one view each beside a second view of sample 0.

        >>> who = Members(torch.tensor([0, 0, 1, 2]), torch.arange(4), torch.tensor([5, 5, 5, 6]))
        >>> found = same_sample(who, who)
        >>> found.positive[0].int().tolist(), found.negative[0].int().tolist()
        ([0, 1, 0, 0], [0, 0, 0, 1])
    """
    same = query.sample[:, None] == target.sample[None, :]
    other_view = query.view[:, None] != target.view[None, :]
    negative = ~same
    if not same_patient_negatives:
        known = (query.patient != UNKNOWN)[:, None] & (target.patient != UNKNOWN)[None, :]
        negative = negative & known & (query.patient[:, None] != target.patient[None, :])
    return Relation(positive=same & other_view, negative=negative)
