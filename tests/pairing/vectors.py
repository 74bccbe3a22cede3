"""Vectors, members and a stand-in for a second process, for the tests of the room."""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.pairing.members import Members
from medssl.views.view import Batch, Views


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def units(n: int, d: int = 8, seed: int = 0) -> Tensor:
    """Random rows of length one."""
    return torch.nn.functional.normalize(torch.randn(n, d, generator=chance(seed)), dim=1)


def members(patients: list[int], **ids: list[int]) -> Members:
    """Every vector a sample of its own."""
    others = {name: torch.tensor(value) for name, value in ids.items() if name != "sample"}
    sample = torch.tensor(ids["sample"]) if "sample" in ids else torch.arange(len(patients))
    return Members(sample, torch.tensor(patients), others)


def views(owner: list[int], box: Tensor | None = None, **ids: list[int]) -> Views:
    """Views without content."""
    n = len(owner)
    return Views(
        image=torch.zeros(n, 1, 1, 1, 1),
        valid=torch.ones(n, 1, 1, 1, 1, dtype=torch.bool),
        affine=torch.eye(4, dtype=torch.float64).repeat(n, 1, 1),
        box=torch.zeros(n, 15, dtype=torch.float64) if box is None else box,
        owner=torch.tensor(owner, dtype=torch.int64),
        ids={name: torch.tensor(value, dtype=torch.int64) for name, value in ids.items()},
    )


def batch(size: int, **roles: Views) -> Batch:
    return Batch(roles, size=size)


def boxes(*edges: tuple[float, float, float], shape: tuple[int, int, int] = (4, 4, 4), spacing: float = 1.0) -> Tensor:
    """Boxes of one scan by the place of their first voxel in millimetres."""
    rows = []
    for edge in edges:
        affine = torch.eye(3, 4, dtype=torch.float64) * spacing
        affine[:, 3] = torch.tensor(edge, dtype=torch.float64)
        rows.append(torch.cat([affine.flatten(), torch.tensor(shape, dtype=torch.float64)]))
    return torch.stack(rows)
