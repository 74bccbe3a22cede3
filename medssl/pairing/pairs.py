"""Weights of pairs: which vectors share an id, and how near they lie in the body or in time.

Every function relates rows to columns; without columns it relates the rows to themselves and leaves the diagonal out,
so that no view attracts itself. An id of -1 is "unknown", and what is unknown is neither the same nor another. Places
are compared in millimetres and only within one scan (or whatever shares a coordinate system), so that spacing never
alters a relation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.pairing.members import Members
from medssl.pairing.overlap import overlap_shares


def same(name: str, rows: Members, columns: Members | None = None) -> Tensor:
    """Where both have one id: ``(n, M)`` bool.

    Args:
        name: ``sample`` or a name of ``views.view.IDS``.
        rows: members of the rows.
        columns: members of the columns, or None for the rows themselves.

    Example:
        >>> who = Members(torch.arange(3), torch.tensor([7, 7, -1]))
        >>> same("patient", who).int().tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    first, second = rows.ids(name), (rows if columns is None else columns).ids(name)
    # in place: a bank has hundreds of millions of pairs; of two equal ids one is enough to look at
    return _off_diagonal((first[:, None] == second[None, :]).logical_and_((first >= 0)[:, None]), columns)


def differ(name: str, rows: Members, columns: Members | None = None) -> Tensor:
    """Where the ids of both are known and differ: ``(n, M)`` bool.

    Example:
        >>> who = Members(torch.arange(3), torch.tensor([7, 8, -1]))
        >>> differ("patient", who).int().tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    first, second = rows.ids(name), (rows if columns is None else columns).ids(name)
    # in place: a bank has hundreds of millions of pairs
    return (first[:, None] != second[None, :]).logical_and_(second >= 0).logical_and_((first >= 0)[:, None])


def kinds(rows: Members, columns: Members | None = None) -> dict[str, Tensor]:
    """What a run's health is told by: pairs of one sample, of one patient beside them, and of two patients.

    Returns:
        ``positive``, ``same_patient`` and ``other_patient``, each ``(n, M)`` bool; no pair stands in two of them.

    Example:
        >>> found = kinds(Members(torch.tensor([0, 0, 1, 2]), torch.tensor([5, 5, 5, 6])))
        >>> [found[name][0].int().tolist() for name in found]
        [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    """
    positive = same("sample", rows, columns)
    patient = same("patient", rows, columns) & ~positive
    return {
        "positive": positive,
        "same_patient": patient,
        "other_patient": differ("patient", rows, columns) & ~positive,
    }


def overlap(rows: Members, columns: Members | None = None, *, within: str = "record", union: bool = False) -> Tensor:
    """How much of each row's box lies in each column's box: ``(n, M)`` float32 in [0, 1].

    Args:
        rows: members with boxes.
        columns: members with boxes, or None for the rows themselves.
        within: boxes are compared where this id is the same: ``record``, or ``study`` where a study's scans are
            known to be registered.
        union: divide by the volume that both cover together (intersection over union), which is symmetric.

    Raises:
        ValueError: the members have no boxes.
        UsageError: boxes of one scan are turned to each other.
    """
    others = rows if columns is None else columns
    first, second = _boxes(rows), _boxes(others)
    comparable = same(within, rows, others)
    shares = overlap_shares(first, second, *_owners(rows.ids(within), others.ids(within)))
    if union:
        volume, other = _volume(first)[:, None], _volume(second)[None, :]
        both = shares * volume
        shares = both / (volume + other - both)
    return _off_diagonal(torch.where(comparable, shares, 0.0).float(), columns)


def distance_mm(rows: Members, columns: Members | None = None, *, within: str = "record") -> Tensor:
    """Millimetres between the centres of boxes, ``(n, M)`` float64; infinite where they cannot be compared.

    Args:
        rows: members with boxes.
        columns: members with boxes, or None for the rows themselves.
        within: see ``overlap``.

    Raises:
        ValueError: the members have no boxes.
    """
    others = rows if columns is None else columns
    # not cdist, whose large form loses digits to cancellation
    apart = (_centres(_boxes(rows))[:, None] - _centres(_boxes(others))[None, :]).norm(dim=-1)
    return torch.where(same(within, rows, columns), apart, torch.inf)


def time_gap(rows: Members, columns: Members | None = None, *, within: str = "patient") -> Tensor:
    """How far two scans of a patient lie apart in time, in the unit of the id ``time``, ``(n, M)`` float64.

    Infinite where a time is unknown or the patients differ, so that every kernel gives 0.

    Example:
        >>> who = Members(torch.arange(3), torch.tensor([7, 7, 8]), {"time": torch.tensor([10, 40, 40])})
        >>> time_gap(who).tolist()
        [[inf, 30.0, inf], [30.0, inf, inf], [inf, inf, inf]]
    """
    others = rows if columns is None else columns
    first, second = rows.ids("time"), others.ids("time")
    known = (first >= 0)[:, None] & (second >= 0)[None, :] & same(within, rows, columns)
    return torch.where(known, (first[:, None] - second[None, :]).abs().double(), torch.inf)


def law_kernel(gap: Tensor, reach: float, power: float = 1.0) -> Tensor:
    """1 − (t/M)^a up to M and 0 beyond: the law by which CVRL takes pairs (arXiv 2008.03800), as a weight.

    Args:
        gap: distances ≥ 0, millimetres or time; infinite ones weigh 0.
        reach: M, in the same unit.
        power: a; 1 falls in a straight line.

    Returns:
        float32 in [0, 1], shaped as ``gap``.

    Raises:
        ValueError: ``reach`` or ``power`` is not above 0.

    Example:
        >>> law_kernel(torch.tensor([0.0, 5.0, 10.0, torch.inf]), 10.0).tolist()
        [1.0, 0.5, 0.0, 0.0]
    """
    if not (reach > 0 and power > 0):
        raise ValueError(f"reach and power must be above 0, got {reach} and {power}")
    return (1 - (gap / reach).clamp(max=1.0) ** power).float()


def gaussian_kernel(gap: Tensor, width: float) -> Tensor:
    """e^{−t²/2σ²}, float32 in [0, 1].

    Args:
        gap: distances; infinite ones weigh 0.
        width: σ, in the unit of ``gap``.

    Raises:
        ValueError: ``width`` is not above 0.

    Example:
        >>> gaussian_kernel(torch.tensor([0.0, torch.inf]), 3.0).tolist()
        [1.0, 0.0]
    """
    if not width > 0:
        raise ValueError(f"width must be above 0, got {width}")
    return torch.exp(-0.5 * (gap / width) ** 2).float()


def _off_diagonal(weights: Tensor, columns: Members | None) -> Tensor:
    if columns is not None:
        return weights
    return weights.masked_fill(torch.eye(len(weights), dtype=torch.bool, device=weights.device), 0)


def _boxes(members: Members) -> Tensor:
    if members.box is None:
        raise ValueError("weights from geometry need boxes: gather members with places=True")
    return members.box


def _owners(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Ids in which every unknown one is somebody else."""
    count = len(first)
    alone = -2 - torch.arange(count + len(second), device=first.device)
    return torch.where(first >= 0, first, alone[:count]), torch.where(second >= 0, second, alone[count:])


def _centres(box: Tensor) -> Tensor:
    affine = box[:, :12].double().reshape(-1, 3, 4)
    middle = (box[:, 12:].double() - 1) / 2
    return (affine[:, :, :3] @ middle[:, :, None]).squeeze(-1) + affine[:, :, 3]


def _volume(box: Tensor) -> Tensor:
    affine = box[:, :12].double().reshape(-1, 3, 4)
    out: Tensor = torch.linalg.det(affine[:, :, :3]).abs() * box[:, 12:].double().prod(dim=1)
    return out
