"""What BYOL, SimSiam and MoCo v3 share: a predictor on one view that meets the other view's projection as a target.

The target is either the network's own projection without gradient (SimSiam) or that of a momentum teacher (BYOL,
MoCo v3). All views of one size pass together, so that a batch norm sees both views of a pair; the authors pass them
one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.heads.projector import Projector
from medssl.methods.contract import Facts, Vectors
from medssl.methods.contrastive.samples import by_sample, owners
from medssl.methods.passes import pooled, through
from medssl.methods.roles import PAIR
from medssl.pairing.momentum import MomentumTeacher
from medssl.views.view import Batch

LEAST_ROWS = 16
"""Vectors of a process that a batch norm was seen to keep apart."""


def taught(
    encoder: Encoder, heads: Mapping[str, nn.Module], batch: Batch, teacher: MomentumTeacher | None = None
) -> Vectors:
    """Predictions by role, and the targets as ``<role>_teacher``, without gradient.

    Args:
        encoder: the student.
        heads: its ``projector`` and ``predictor``.
        batch: views of the roles of ``PAIR``.
        teacher: of ``encoder`` and ``projector``; None: the student's own projections are the targets.
    """
    projected = through(heads["projector"], pooled(encoder, batch, PAIR))
    if teacher is None:
        targets = {role: rows.detach() for role, rows in projected.items()}
    else:
        teacher.follow({"encoder": encoder, "projector": heads["projector"]})
        with torch.no_grad():
            targets = through(teacher["projector"], pooled(cast(Encoder, teacher["encoder"]), batch, PAIR))
    predicted = through(heads["predictor"], projected)
    return predicted | {f"{role}_teacher": rows for role, rows in targets.items()}


def crossed(vectors: Vectors, batch: Batch) -> tuple[Tensor, Tensor]:
    """Predictions of all pairs in both directions ``(2P, d)``, and the targets that they meet.

    Rows do not meet each other, so this process's own are all that is needed.
    """
    rows = by_sample(owners(batch, PAIR), len(PAIR))
    prediction = torch.cat([vectors[role] for role in PAIR])[rows]
    target = torch.cat([vectors[f"{role}_teacher"] for role in PAIR])[rows]
    return prediction.flatten(0, 1), target.flip(1).flatten(0, 1)


def faster(groups: Sequence[dict[str, Any]], network: nn.Module, times: float) -> list[dict[str, Any]]:
    """Parameter groups in which the parameters of one network learn so many times as fast."""
    own = {id(parameter) for parameter in network.parameters()}
    out = []
    for group in groups:
        inside = [parameter for parameter in group["params"] if id(parameter) in own]
        out.append({**group, "params": [parameter for parameter in group["params"] if id(parameter) not in own]})
        scale = group.get("lr_scale", 1.0) * times
        out.append({**group, "params": inside, "name": f"predictor {group['name']}", "lr_scale": scale})
    return out


def doubts(projector: Projector, facts: Facts) -> list[str]:
    """What is doubtful about a head that alone keeps vectors apart, where there are no negatives."""
    rows = len(PAIR) * facts.batch // facts.processes
    if not projector.needs_rows:
        return ["without negatives and without method.norm batch, vectors became all the same in short runs"]
    if rows < LEAST_ROWS:
        return [
            f"batch norm has {rows} vectors a process to tell apart: raise optim.batch to {LEAST_ROWS // 2} or more"
        ]
    return []
