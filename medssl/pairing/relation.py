"""Who is whose positive and negative: weights from ids alone, so that they can be gathered and queued with vectors.

The rule of the house: two vectors of one patient are never negatives of each other unless that is asked for. A
patient id of -1 stands for "unknown". Whether an unknown patient differs from another cannot be told, so a pair with
an unknown patient is not a negative either; rows that are left without negatives are dropped by the objective, which
counts them.

A relation is put together from parts: ``attract`` and ``repel`` make one of weights of pairs (``pairing.pairs``,
``pairing.graph``), and ``|``, ``&``, ``-`` join them. What the papers do:

| paper | arXiv | relation |
|---|---|---|
| SimCLR, DCL | 2002.05709, 2110.06848 | ``same_sample(who)`` |
| several phases or sequences of a study | | ``same_sample(who) | attract(same("study", who))`` |
| partitions of the body (Chaitanya) | 2006.10511 | ``same_sample(who) | attract(same("region", who))`` |
| no negatives within a cluster | 2009.12007 | ``same_sample(who) - repel(same("cluster", who))`` |
| clusters as positives | | ``same_sample(who) | attract(same("cluster", who))`` |
| overlapping crops, graded | | ``same_sample(who) | attract(overlap(who))`` |
| near in time (CVRL's law) | 2008.03800 | ``same_sample(who) | attract(law_kernel(time_gap(who), reach))`` |
| neighbours in a graph (SCGC) | 2204.12656 | ``Relation(positive=influence(graph), negative=everyone)``, decoupled |
| soft false negatives (gCooL) | 2110.14863 | ``same_sample(who).weigh(negative=1 - R @ R.T)`` |
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medssl.pairing.members import UNKNOWN, Members, members_of, together
from medssl.pairing.pairs import differ, same

__all__ = ["UNKNOWN", "Members", "Relation", "attract", "members_of", "repel", "same_sample", "together"]


@dataclass(frozen=True)
class Relation:
    """Weights of every pair of a row and a column, bool or ≥ 0; 0 leaves the pair out.

    Args:
        positive: ``(n, M)`` W⁺.
        negative: ``(n, M)`` W⁻.

    Example:
        >>> one = attract(torch.tensor([[0.5, 0.0, 0.0]])) | repel(torch.tensor([[1.0, 1.0, 1.0]]))
        >>> one.positive.tolist(), one.negative.tolist()
        ([[0.5, 0.0, 0.0]], [[0.0, 1.0, 1.0]])
        >>> (one - repel(torch.tensor([[False, True, False]]))).negative.tolist()
        [[0.0, 0.0, 1.0]]
    """

    positive: Tensor
    negative: Tensor

    def __or__(self, other: Relation) -> Relation:
        """What either says, the larger weight; a pair that either attracts is not repelled."""
        positive = _larger(self.positive, other.positive)
        negative = _larger(self.negative, other.negative)
        return Relation(positive, torch.where(positive > 0, torch.zeros_like(negative), negative))

    def __and__(self, other: Relation) -> Relation:
        """What both say, positives and negatives each: weights are multiplied."""
        return Relation(_product(self.positive, other.positive), _product(self.negative, other.negative))

    def __sub__(self, other: Relation) -> Relation:
        """Leave out what the other says: its positives of the positives, its negatives of the negatives."""
        return Relation(_without(self.positive, other.positive), _without(self.negative, other.negative))

    def weigh(self, positive: Tensor | None = None, negative: Tensor | None = None) -> Relation:
        """Each part times weights ``(n, M)``; None leaves a part as it is."""
        return Relation(
            self.positive if positive is None else _product(self.positive, positive),
            self.negative if negative is None else _product(self.negative, negative),
        )

    def beside(self, other: Relation) -> Relation:
        """The same rows with more columns: a batch beside a queue, a queue beside made-up negatives."""
        return Relation(_side_by_side(self.positive, other.positive), _side_by_side(self.negative, other.negative))


def attract(weights: Tensor) -> Relation:
    """Positives by weight ``(n, M)``, and no negatives."""
    return Relation(weights, torch.zeros_like(weights))


def repel(weights: Tensor) -> Relation:
    """Negatives by weight ``(n, M)``, and no positives."""
    return Relation(torch.zeros_like(weights), weights)


def same_sample(rows: Members, columns: Members | None = None, *, same_patient_negatives: bool = False) -> Relation:
    """Positives are the other views of the same sample; negatives the views of other patients.

    Args:
        rows: members of the rows.
        columns: members of the columns, all of them other views than the rows; None relates the rows to themselves,
            and then no view is its own positive.
        same_patient_negatives: take other samples as negatives, whoever the patient is. Other views of the very same
            scan are still none, where the scans are known: a queue larger than the data set holds many.

    Example:
        Two views of sample 0 and one of sample 1, of one patient, and sample 2 of another.

        >>> who = Members(sample=torch.tensor([0, 0, 1, 2]), patient=torch.tensor([5, 5, 5, 6]))
        >>> found = same_sample(who)
        >>> found.positive[0].int().tolist(), found.negative[0].int().tolist()
        ([0, 1, 0, 0], [0, 0, 0, 1])
    """
    others = rows if columns is None else columns
    # not `same`, which leaves the diagonal out: a view is not its own negative either
    twin = same("sample", rows, others)
    if same_patient_negatives:
        negative = ~twin & ~same("record", rows, others)
        if columns is None:
            negative = negative & ~torch.eye(len(rows), dtype=torch.bool, device=negative.device)
    else:
        negative = ~twin & differ("patient", rows, others)
    return Relation(positive=same("sample", rows, columns), negative=negative)


def _larger(one: Tensor, other: Tensor) -> Tensor:
    return one | other if one.dtype == other.dtype == torch.bool else torch.maximum(*_numbers(one, other))


def _product(one: Tensor, other: Tensor) -> Tensor:
    return one & other if one.dtype == other.dtype == torch.bool else torch.mul(*_numbers(one, other))


def _without(one: Tensor, other: Tensor) -> Tensor:
    return torch.where(other > 0, torch.zeros_like(one), one)


def _side_by_side(one: Tensor, other: Tensor) -> Tensor:
    return torch.cat([one, other] if one.dtype == other.dtype else _numbers(one, other), dim=1)


def _numbers(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    kind = torch.promote_types(torch.promote_types(one.dtype, other.dtype), torch.float32)
    return one.to(kind), other.to(kind)
