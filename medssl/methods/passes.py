"""The forward pass that methods share: views of several roles through one encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from medssl.encoders.contract import Encoder, Features
from medssl.views.view import Batch


def pooled(encoder: Encoder, batch: Batch, roles: Sequence[str]) -> dict[str, Tensor]:
    """The pooled vector of every view: role to ``(N, width)``.

    Views of one size go through the encoder together, so that a batch norm sees both views of a pair.
    """
    found: dict[str, Tensor] = {}
    for together in _by_shape(batch, roles):
        features: Features = encoder(torch.cat([batch[role].image for role in together]))
        found |= parted(features.pooled, batch, together)
    return {role: found[role] for role in roles}


def through(network: nn.Module | Callable[[Tensor], Tensor], vectors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Vectors of several roles through a head in one pass, so that its batch norm sees all of them.

    Example:
        >>> found = through(lambda x: x + 1, {"view": torch.zeros(2, 1), "partner": torch.ones(1, 1)})
        >>> {role: rows.flatten().tolist() for role, rows in found.items()}
        {'view': [1.0, 1.0], 'partner': [2.0]}
    """
    out: Tensor = network(torch.cat(list(vectors.values())))
    return dict(zip(vectors, torch.split(out, [len(rows) for rows in vectors.values()]), strict=True))


def parted(rows: Tensor, batch: Batch, roles: Sequence[str]) -> dict[str, Tensor]:
    """Rows of several roles, one after the other, by role."""
    return dict(zip(roles, torch.split(rows, [len(batch[role]) for role in roles]), strict=True))


def _by_shape(batch: Batch, roles: Sequence[str]) -> list[list[str]]:
    groups: dict[torch.Size, list[str]] = {}
    for role in roles:
        groups.setdefault(batch[role].image.shape[1:], []).append(role)
    return list(groups.values())
