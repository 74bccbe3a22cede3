"""Classification of a view from its pooled vector."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from medssl.encoders.contract import Features
from medssl.encoders.settings import positive, share
from medssl.errors import InputError, RecipeError


class ClassificationHead(nn.Module):
    """One label for each view: dropout and a linear layer on the pooled vector.

    Args:
        width: length of the pooled vector.
        classes: how many.
        dropout: share of the vector that is dropped in training.

    Raises:
        RecipeError: a setting is out of range.
    """

    def __init__(self, width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        positive("width", width)
        share("dropout", dropout)
        if classes < 2:
            raise RecipeError(f"classes must be 2 or more, got {classes}")
        self.classes = classes
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)

    def forward(self, features: Features) -> Tensor:
        """Logits ``(N, classes)``."""
        out: Tensor = self.linear(self.dropout(features.pooled))
        return out

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy over the views that have a label.

        Args:
            logits: ``(N, classes)``.
            target: ``(N,)`` whole numbers of any type; -1 is left out.

        Returns:
            The mean; 0 (with a gradient) where no view has a label.

        Raises:
            InputError: a label is not among the classes.
        """
        index = target.long()
        if int(index.max()) >= self.classes or int(index.min()) < -1 or bool((index != target).any()):
            got = f"{target.min().item()} to {target.max().item()}"
            raise InputError(f"labels must be whole numbers from -1 to {self.classes - 1}, got {got}", code="label")
        kept = index >= 0
        return F.cross_entropy(logits[kept].float(), index[kept]) if bool(kept.any()) else logits.sum() * 0
