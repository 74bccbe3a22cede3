"""Samples of views become a batch: stacked by role, each view with the sample it belongs to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from medssl.errors import UsageError
from medssl.views.view import IDS, Batch, View, Views

Sample = Mapping[str, Sequence[View]]


@dataclass(frozen=True, eq=False)
class Space:
    """Memory of the views of one role; where views lie in it already, they stay where they are.

    Args:
        image: ``(N, C, i, j, k)`` float32.
        valid: ``(N, 1, i, j, k)`` or ``(N, C, i, j, k)`` bool.
        label: ``(N, 1, i, j, k)`` int64, or None where there is none.
    """

    image: Tensor
    valid: Tensor
    label: Tensor | None


def collate(samples: Sequence[Sample], step: int = 0, spaces: Mapping[str, Space] = MappingProxyType({})) -> Batch:
    """A batch, sample by sample within each role.

    Args:
        samples: for each sample, role to its views; a role may have any number of views in each.
        step: that the batch was drawn for.
        spaces: memory by role, in which image and valid of its views lie already, in order.

    Raises:
        UsageError: views of one role differ in shape, or only some have a label map or mask (``batch``).
    """
    names = list(dict.fromkeys(name for sample in samples for name in sample))
    roles = {}
    for name in names:
        pairs = [(owner, view) for owner, sample in enumerate(samples) for view in sample.get(name, ())]
        if pairs:
            roles[name] = stack([view for _, view in pairs], [owner for owner, _ in pairs], name, spaces.get(name))
    return Batch(roles, len(samples), step)


def stack(views: Sequence[View], owner: Sequence[int], name: str = "view", space: Space | None = None) -> Views:
    """Views of one role as tensors; see ``Views``."""
    shapes = {tuple(view.image.shape) for view in views}
    if len(shapes) > 1:
        raise UsageError(f"views of one role must have one shape, got {sorted(shapes)}", path=name, code="batch")
    columns = sorted({column for view in views for column in view.targets})
    hidden = _stack_all([view.hidden for view in views], name, "a mask")
    return Views(
        image=torch.stack([view.image for view in views]) if space is None else space.image,
        valid=torch.stack([view.valid for view in views]) if space is None else space.valid,
        affine=torch.from_numpy(np.stack([view.grid.affine for view in views])),
        box=torch.from_numpy(np.stack([view.grid.box.to_numbers() for view in views])),
        owner=torch.tensor(owner, dtype=torch.int64),
        ids={key: torch.tensor([view.ids.get(key, -1) for view in views], dtype=torch.int64) for key in IDS},
        label=_stack_all([view.label for view in views], name, "a label map", None if space is None else space.label),
        targets={
            column: torch.tensor([view.targets.get(column, math.nan) for view in views], dtype=torch.float32)
            for column in columns
        },
        hidden=None if hidden is None else hidden.transpose(0, 1).contiguous(),
        params=[view.params for view in views],
        warps=[view.grid.warp for view in views] if any(view.grid.warp for view in views) else [],
    )


def _stack_all(parts: Sequence[Tensor | None], name: str, what: str, out: Tensor | None = None) -> Tensor | None:
    there = [part for part in parts if part is not None]
    if not there:
        return None
    if len(there) != len(parts):
        raise UsageError(f"{what} must stand with every view of a role or with none", path=name, code="batch")
    return torch.stack(there) if out is None else torch.stack(there, out=out)
