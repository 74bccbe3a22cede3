"""Who the rows of a contrastive loss are, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from medssl.methods.contract import Context, EmptyBatchError
from medssl.methods.roles import PAIR
from medssl.objectives.contrastive import ContrastLog
from medssl.pairing.members import Members, members_of, together
from medssl.views.view import Batch


def members(batch: Batch, ctx: Context, roles: Sequence[str] = PAIR, *, places: bool = False) -> Members:
    """The members of several roles on all processes: role by role, and within a role in rank order.

    Args:
        batch: the batch of this process.
        ctx: its gather.
        roles: whose views.
        places: take the boxes along, for weights from geometry.
    """
    return together(*(members_of(batch, role, ctx.gather, places=places) for role in roles))


def told(log: ContrastLog, temperature: float, views: int) -> dict[str, Tensor]:
    """What a contrastive loss logs.

    Args:
        log: of the objective.
        temperature: that similarities were divided by.
        views: rows there were.

    Raises:
        EmptyBatchError: no row had both a positive and a negative.
    """
    if int(log.rows) == 0:
        raise EmptyBatchError(
            f"no positive beside a negative among {views} views: two views a scan and two patients are needed",
            code="batch",
            hint="use a batch of 2 or more patients with known patient_id",
        )
    return {
        "similarity_positive": log.positive * temperature,
        "similarity_negative": log.negative * temperature,
        "dropped_without_positive": log.without_positive.float(),
        "dropped_without_negative": log.without_negative.float(),
    }
