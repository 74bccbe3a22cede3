"""From members and made-up vectors to what ``objectives.contrast_bank`` asks for: weights by rows, and own columns.

A step of MoCo (arXiv 1911.05722), with MoCHi's negatives where the queue is full::

    bank, keys = queue.rows().float(), queue.members()
    made = ...  # hard_mixing.mixed_negatives(...), or None
    loss, log = contrast_bank(
        unit(query), bank, temperature=0.2, pairs=bank_pairs(who, keys), own=own_columns(query, key, made)
    )
    queue.hold(key, who)  # and queue.push() in after_step
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from medssl.objectives.contrast_bank import Own
from medssl.objectives.cosine import unit
from medssl.pairing.hard_mixing import MadeUp
from medssl.pairing.members import Members
from medssl.pairing.pairs import differ, same


def bank_pairs(
    rows: Members, columns: Members, *, same_patient_negatives: bool = False
) -> Callable[[slice], tuple[None, Tensor]]:
    """Negatives of a bank by patient, some rows at a time; a bank of earlier steps holds no positive.

    Args:
        rows: members of the queries.
        columns: members of the bank.
        same_patient_negatives: as for ``same_sample``: all but the row's own scan are negatives.

    Example:
        >>> rows = Members(torch.arange(2), torch.tensor([1, 2]))
        >>> columns = Members(torch.full((3,), -1), torch.tensor([1, 2, 3]))
        >>> bank_pairs(rows, columns)(slice(0, 1))[1].tolist()
        [[False, True, True]]
    """

    def pairs(part: slice) -> tuple[None, Tensor]:
        some = rows[part]
        return None, ~same("record", some, columns) if same_patient_negatives else differ("patient", some, columns)

    return pairs


def own_columns(query: Tensor, key: Tensor, made: MadeUp | None = None) -> Own:
    """A query's key as its positive, and what was made up for it as negatives.

    Args:
        query: ``(n, d)``; compared by cosine.
        key: ``(n, d)``; detached.
        made: negatives of each query, or None.

    Example:
        >>> own = own_columns(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.6, 0.8]]))
        >>> own.similarity.tolist(), own.positive.tolist()
        ([[0.6000000238418579]], [[True]])
    """
    similarity = (unit(query) * unit(key.detach())).sum(dim=1, keepdim=True)
    positive = torch.ones_like(similarity, dtype=torch.bool)
    if made is None:
        return Own(similarity, positive, ~positive)
    return Own(
        torch.cat([similarity, made.similarity(query)], dim=1),
        torch.cat([positive, torch.zeros_like(made.weight)], dim=1),
        torch.cat([~positive, made.weight], dim=1),
    )
