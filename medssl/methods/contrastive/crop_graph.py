"""Crops of a batch as the nodes of a graph: edges by place within a scan, by likeness between patients.

The papers (SCGC, arXiv 2204.12656; gCooL, arXiv 2110.14863) are given a graph, of citations for example; here it is
made of what is known of crops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from medssl.pairing.graph import knn_graph
from medssl.pairing.members import Members
from medssl.pairing.pairs import differ, overlap

ROUNDING = 1e-6
"""What a share of overlap may miss of the least one."""


@dataclass(frozen=True)
class CropGraph:
    """Which crops are nodes, and which of them are neighbours.

    Args:
        crops: of each scan.
        overlap: how much crops that are drawn together overlap along each axis, at least; and crops of a scan are
            neighbours where the smaller lies in the larger to the third power of this, or more.
        neighbours: nearest ones of each crop, by cosine, among those of other patients in the batch; 0 for none.
        study: whether scans of one study count as one scan; they must be registered.
    """

    crops: Annotated[int, Field(ge=1)] = 4
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    neighbours: Annotated[int, Field(ge=0)] = 1
    study: bool = False

    @torch.no_grad()
    def adjacency(self, vectors: Tensor, who: Members) -> Tensor:
        """The edges between all nodes: ``(n, n)`` float32, 0 or 1, symmetric, none to itself.

        Args:
            vectors: ``(n, d)`` of all processes.
            who: their members, with boxes.
        """
        near = self._beside(who, "record")
        if self.study:
            near = near | self._beside(who, "study")
        if self.neighbours == 0:
            return near.float()
        alike = knn_graph(vectors, self.neighbours, differ("patient", who))
        return torch.maximum(alike, near.to(alike.dtype)).float()

    def _beside(self, who: Members, within: str) -> Tensor:
        share = overlap(who, within=within)
        # of the smaller crop, so that a zoom makes no difference
        share = torch.maximum(share, share.T)
        return (share > 0) & (share >= self.overlap**3 - ROUNDING)
