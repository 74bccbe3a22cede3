"""How much of each view lies in each other view, from the boxes alone: VoCo's soft labels (arXiv 2402.17300)."""

from __future__ import annotations

import torch
from torch import Tensor

from medssl.errors import UsageError

TOLERANCE = 1e-6
"""Shares this close to 0 or 1 along an axis count as 0 or 1, so that boxes that only touch do not overlap."""


def overlap_shares(
    query: Tensor, base: Tensor, query_owner: Tensor | None = None, base_owner: Tensor | None = None
) -> Tensor:
    """Share of each query box's volume that lies in each base box.

    Boxes say where a view was taken, before flips and rotation: labels describe location, not orientation.

    Args:
        query: ``(Q, 15)`` numbers of ``Box.to_numbers``.
        base: ``(K, 15)`` numbers of ``Box.to_numbers``.
        query_owner: ``(Q,)`` the scan of each query; boxes of different scans do not overlap.
        base_owner: ``(K,)`` the scan of each base; given together with ``query_owner``.

    Returns:
        ``(Q, K)`` float64 in [0, 1], exact for boxes with parallel edges.

    Raises:
        UsageError: edges of two boxes of one scan are not parallel.

    Example:
        >>> box = torch.tensor([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 4, 4, 4], dtype=torch.float64)
        >>> shifted = box.clone()
        >>> shifted[3] = 3.0
        >>> overlap_shares(box[None], torch.stack([box, shifted])).tolist()
        [[1.0, 0.25]]
    """
    if query_owner is None or base_owner is None:
        same = torch.ones(len(query), len(base), dtype=torch.bool, device=query.device)
    else:
        same = query_owner[:, None] == base_owner[None, :]
    query_map, query_shape = _parts(query)
    base_map, base_shape = _parts(base)
    # base voxel index → query voxel index, for every pair
    inner = torch.linalg.solve(query_map[:, None], base_map[None, :])
    matrix, centre = inner[..., :3, :3], inner[..., :3, 3]
    _require_parallel(matrix, same)
    first = centre - 0.5 * matrix.sum(dim=-1)
    last = first + (matrix * base_shape[None, :, None, :]).sum(dim=-1)
    low = torch.minimum(first, last).clamp(min=-0.5)
    high = torch.minimum(torch.maximum(first, last), query_shape[:, None] - 0.5)
    share = ((high - low) / query_shape[:, None]).clamp(0.0, 1.0)
    share = torch.where(share < TOLERANCE, 0.0, torch.where(share > 1 - TOLERANCE, 1.0, share))
    return torch.where(same, share.prod(dim=-1), 0.0)


def _parts(box: Tensor) -> tuple[Tensor, Tensor]:
    """The 4×4 maps ``(N, 4, 4)`` and the shapes ``(N, 3)``."""
    affine = torch.eye(4, dtype=torch.float64, device=box.device).repeat(len(box), 1, 1)
    affine[:, :3] = box[:, :12].double().reshape(-1, 3, 4)
    return affine, box[:, 12:].double()


def _require_parallel(matrix: Tensor, same: Tensor) -> None:
    size = matrix.abs()
    entries = (size > TOLERANCE * size.amax(dim=(-2, -1), keepdim=True)).sum(dim=(-2, -1))
    if bool(((entries != 3) & same).any()):
        raise UsageError(
            "overlap is defined for boxes with parallel edges, but two boxes of one scan are turned to each other",
            code="method",
            hint="turn views with rotate_deg, which leaves their boxes as they are",
        )
