"""NT-Xent, or DCL, by ids alone: what methods share whose own idea lies in which scans a batch holds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medssl.methods.contract import Context, Vectors
from medssl.methods.contrastive.rows import members, told
from medssl.methods.roles import PAIR
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine, spread
from medssl.pairing.relation import same_sample
from medssl.views.view import Batch


def contrast_by_ids(
    vectors: Vectors,
    batch: Batch,
    ctx: Context,
    roles: Sequence[str] = PAIR,
    *,
    temperature: float,
    coupled: bool = True,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Views of one sample attract each other, views of other patients repel, over all processes.

    Args:
        vectors: a row for every view of each role.
        batch: of this process.
        ctx: its gather.
        roles: which are compared.
        temperature: what similarities are divided by.
        coupled: whether the positive stands in the denominator too (False: DCL).

    Raises:
        EmptyBatchError: no row has both a positive and a negative.
    """
    z = torch.cat([ctx.gather(vectors[role]) for role in roles])
    who = members(batch, ctx, roles)
    relation = same_sample(who)
    loss, log = contrast(cosine(z, z) / temperature, relation.positive, relation.negative, coupled=coupled)
    return loss, {**told(log, temperature, len(who)), "embedding_std": spread(z.detach())}
