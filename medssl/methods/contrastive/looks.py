"""What a survey sees of a scan: a few crops as they lie in the body, whose features are averaged."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from medssl.encoders.contract import Encoder
from medssl.methods.contract import Vectors, ViewSettings
from medssl.methods.roles import random_crops
from medssl.objectives.cosine import unit
from medssl.views.view import Batch, Role, Spatial

LOOK = "look"
"""The role that a survey's views have."""
LOOKS = 4
"""Crops of a scan: one shows its place by chance, the mean of a few shows the scan."""


def look_views(settings: ViewSettings) -> dict[str, Role]:
    """Crops anywhere in the body, of the recipe's size, with neither geometry nor values changed."""
    return {LOOK: replace(random_crops(settings, LOOKS), spatial=Spatial(), augment=())}


def looked(encoder: Encoder, batch: Batch) -> Vectors:
    """The pooled vector of every such crop."""
    return {LOOK: encoder(batch[LOOK].image).pooled}


def scan_features(vectors: Vectors) -> Tensor:
    """The mean direction of a scan's crops, ``(scans, width)``, in store order.

    Example:
        >>> import torch
        >>> scan_features({"look": torch.tensor([[2.0, 0.0]] * 4 + [[0.0, 3.0]] * 4)}).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    rows = unit(vectors[LOOK])
    return unit(rows.reshape(-1, LOOKS, rows.shape[1]).mean(dim=1))


def scan_ids(ids: Tensor) -> Tensor:
    """One id a scan, of one a crop."""
    return ids[::LOOKS]
