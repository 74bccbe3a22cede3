"""Hand-made vectors and the batch that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medssl.methods.contract import Method
from medssl.views.view import Batch
from tests.methods.tiny import context, make_views


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch_of(patients: Sequence[int], view: Sequence[int] | None = None, partner: Sequence[int] | None = None) -> Batch:
    """A batch of a scan for each of ``patients``; ``view`` and ``partner`` say which scan each row shows."""
    everyone = range(len(patients))
    shown = {"view": everyone if view is None else view, "partner": everyone if partner is None else partner}
    roles = {role: make_views([(owner, (0, 0, 0)) for owner in rows], list(patients)) for role, rows in shown.items()}
    return Batch(roles, len(patients))


def loss_of(method: Method, batch: Batch, view: Tensor, partner: Tensor, *targets: Tensor) -> Any:
    """Loss and logs for vectors, and for targets of view and partner where the method has some."""
    vectors = {"view": view, "partner": partner}
    vectors |= dict(zip(("view_teacher", "partner_teacher"), targets, strict=False))
    return method.loss(vectors, batch, context())


def stepped(method: Method, batch: Batch, step: int = 1) -> None:
    """One step of plain gradient descent, and what follows it."""
    method.loss(method.encode(batch, context()), batch, context())[0].backward()
    torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1).step()
    method.zero_grad()
    method.after_step(context(step=step))
