"""Crops of a batch as the nodes of a graph: edges by place within a scan, by likeness of voxels between patients.

The papers (SCGC, arXiv 2204.12656; gCooL, arXiv 2110.14863) are given a graph, of citations for example; here it is
made of what is known of crops. Nearest neighbours are those of the voxels, as SCGC's are those of its raw features:
neighbours among the vectors that are being learned confirm themselves, since whatever is nearest becomes positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medssl.pairing.graph import knn_graph
from medssl.pairing.members import Members
from medssl.pairing.pairs import differ, overlap

COARSE = 4
"""Cells along each axis by which two crops are compared."""
ROUNDING = 1e-6
"""What a share of overlap may miss of the least one."""


@dataclass(frozen=True)
class CropGraph:
    """Which crops are nodes, and which of them are neighbours.

    Args:
        crops: of each scan.
        overlap: how much crops that are drawn together overlap along each axis, at least; and crops of a scan are
            neighbours where the smaller lies in the larger to the third power of this, or more.
        neighbours: those of each crop among other patients' in the batch that look most like it, by the correlation
            of their coarse voxels; 0 for none.
        study: whether scans of one study count as one scan; they must be registered.
    """

    crops: Annotated[int, Field(ge=1)] = 4
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    neighbours: Annotated[int, Field(ge=0)] = 1
    study: bool = False

    @torch.no_grad()
    def adjacency(self, look: Tensor, who: Members) -> Tensor:
        """The edges between all nodes: ``(n, n)`` float32, 0 or 1, symmetric, none to itself.

        Args:
            look: ``(n, d)`` of ``coarse_look``, of all processes.
            who: their members, with boxes.
        """
        near = self._beside(who, "record")
        if self.study:
            near = near | self._beside(who, "study")
        if self.neighbours == 0:
            return near.float()
        alike = knn_graph(look, self.neighbours, differ("patient", who))
        return torch.maximum(alike, near.to(alike.dtype)).float()

    def _beside(self, who: Members, within: str) -> Tensor:
        share = overlap(who, within=within)
        # of the smaller crop, so that a zoom makes no difference
        share = torch.maximum(share, share.T)
        return (share > 0) & (share >= self.overlap**3 - ROUNDING)


@torch.no_grad()
def coarse_look(image: Tensor) -> Tensor:
    """A crop's voxels, averaged in 4 cells along each axis and without their mean: cosines of it are correlations.

    Args:
        image: ``(N, C, i, j, k)``.

    Returns:
        ``(N, 64 C)`` float32.
    """
    cells = functional.adaptive_avg_pool3d(image.float(), COARSE).flatten(2)
    return (cells - cells.mean(dim=2, keepdim=True)).flatten(1)
