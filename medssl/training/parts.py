"""A batch in parts: whole samples, with every field of their views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from torch import Tensor

from medssl.views.view import Batch, Views


def in_order(batch: Batch) -> Batch:
    """The batch with the views of each role sample by sample; as it is where they stand so already."""
    roles = dict(batch.roles)
    for name, views in batch.roles.items():
        owner = views.owner.tolist()
        order = sorted(range(len(owner)), key=owner.__getitem__)
        if order != list(range(len(owner))):
            roles[name] = rows(views, order)
    return replace(batch, roles=roles)


def parts(batch: Batch, size: int) -> list[Batch]:
    """The batch in parts of ``size`` samples, the last one smaller where they do not divide.

    Args:
        batch: its views stand sample by sample (``in_order``); a role may have any number in each.
        size: samples of a part.

    Returns:
        Batches whose samples are numbered from 0. A role without a view in some part is there, empty.
    """
    owners = {name: views.owner.tolist() for name, views in batch.roles.items()}
    found = []
    for first in range(0, batch.size, size):
        last = min(first + size, batch.size)
        roles = {}
        for name, views in batch.roles.items():
            start = sum(owner < first for owner in owners[name])
            stop = sum(owner < last for owner in owners[name])
            part = rows(views, slice(start, stop))
            roles[name] = replace(part, owner=part.owner - first)
        found.append(Batch(roles, last - first, batch.step))
    return found


def rows(views: Views, at: slice | Sequence[int]) -> Views:
    """Some of the views: every field of theirs, whatever fields there are.

    Example:
        >>> import torch
        >>> three = torch.arange(3)
        >>> views = Views(three, three, three, three, three, {"patient": three}, hidden=three[None], params=[{}] * 3)
        >>> found = rows(views, [2, 0])
        >>> found.hidden.tolist(), found.ids["patient"].tolist(), len(found.params)
        ([[2, 0]], [2, 0], 2)
    """
    changed = {}
    for field in fields(views):
        value = getattr(views, field.name)
        # masks are the only tensor whose views do not run along the first axis
        changed[field.name] = value[:, at] if field.name == "hidden" and value is not None else _rows(value, at)
    return replace(views, **changed)


def _rows(value: Any, at: slice | Sequence[int]) -> Any:
    if isinstance(value, Tensor):
        return value[at]
    if isinstance(value, dict):
        return {key: _rows(item, at) for key, item in value.items()}
    if isinstance(value, list) and value:
        return value[at] if isinstance(at, slice) else [value[n] for n in at]
    return value
