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

from medssl.views.view import Batch

UNKNOWN = -1


@dataclass(frozen=True)
class Members:
    """What must be known of each vector.

    Args:
        sample: ``(n,)`` int64, the drawn sample that each view belongs to, unique across processes.
        patient: ``(n,)`` int64, -1 where unknown.
    """

    sample: Tensor
    patient: Tensor

    def __len__(self) -> int:
        return int(self.sample.shape[0])


def together(*parts: Members) -> Members:
    """The members of several roles, one after the other.

    Example:
        >>> one = Members(sample=torch.tensor([0]), patient=torch.tensor([7]))
        >>> together(one, one).sample.tolist()
        [0, 0]
    """
    return Members(torch.cat([part.sample for part in parts]), torch.cat([part.patient for part in parts]))


@dataclass(frozen=True)
class Relation:
    """Weights of every pair of a row and a column; 0 leaves the pair out.

    Args:
        positive: ``(n, M)`` W⁺.
        negative: ``(n, M)`` W⁻.
    """

    positive: Tensor
    negative: Tensor


def members_of(batch: Batch, role: str, gather: Callable[[Tensor], Tensor]) -> Members:
    """The members of a role on all processes, in rank order; samples have the same number in every role.

    Args:
        batch: the batch of this process.
        role: whose views.
        gather: rows of all processes in rank order; must take int64.
    """
    owner = batch[role].owner
    # the first row of each process is marked, so that counting marks gives the rank of every row
    mark = torch.zeros_like(owner)
    mark[:1] = 1
    rank = gather(mark).cumsum(0) - 1
    largest = gather(torch.full_like(owner[:1], batch.size)).max()
    return Members(rank * largest + gather(owner), gather(batch[role].ids["patient"]))


def same_sample(rows: Members, columns: Members | None = None, *, same_patient_negatives: bool = False) -> Relation:
    """Positives are the other views of the same sample; negatives the views of other patients.

    Args:
        rows: members of the rows.
        columns: members of the columns, all of them other views than the rows; None relates the rows to themselves,
            and then no view is its own positive.
        same_patient_negatives: take every other sample as a negative, whoever the patient is.

    Example:
        Two views of sample 0 and one of sample 1, of one patient, and sample 2 of another.

        >>> who = Members(sample=torch.tensor([0, 0, 1, 2]), patient=torch.tensor([5, 5, 5, 6]))
        >>> found = same_sample(who)
        >>> found.positive[0].int().tolist(), found.negative[0].int().tolist()
        ([0, 1, 0, 0], [0, 0, 0, 1])
    """
    others = rows if columns is None else columns
    same = rows.sample[:, None] == others.sample[None, :]
    negative = ~same
    if not same_patient_negatives:
        known = (rows.patient != UNKNOWN)[:, None] & (others.patient != UNKNOWN)[None, :]
        negative = negative & known & (rows.patient[:, None] != others.patient[None, :])
    if columns is None:
        same = same & ~torch.eye(len(rows), dtype=torch.bool, device=same.device)
    return Relation(positive=same, negative=negative)
