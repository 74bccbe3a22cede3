"""The classification head's loss and refusals."""

from __future__ import annotations

import math

import pytest
import torch

from medssl.encoders.contract import Features
from medssl.errors import InputError, RecipeError
from medssl.heads.classification import ClassificationHead


def test_logits_and_gradient() -> None:
    head = ClassificationHead(6, 3, dropout=0.5)
    logits = head(Features([], torch.randn(4, 6)))
    assert logits.shape == (4, 3)
    head.loss(logits, torch.tensor([0, 1, 2, 0])).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in head.parameters())


def test_uniform_logits_cost_log_classes_and_unknown_labels_are_left_out() -> None:
    head = ClassificationHead(6, 3)
    assert float(head.loss(torch.zeros(2, 3), torch.tensor([0.0, 2.0]))) == pytest.approx(math.log(3))
    logits = torch.tensor([[5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert float(head.loss(logits, torch.tensor([-1, 1]))) == pytest.approx(math.log(3))
    assert float(head.loss(logits, torch.tensor([-1, -1]))) == 0


def test_what_does_not_fit_is_refused() -> None:
    head = ClassificationHead(6, 3)
    for wrong in ([3, 0], [0.5, 1.0], [-2, 0]):
        with pytest.raises(InputError, match=r"labels must be whole numbers from -1 to 2"):
            head.loss(torch.zeros(2, 3), torch.tensor(wrong))
    with pytest.raises(RecipeError, match=r"dropout must be in \[0, 1\), got 1.0"):
        ClassificationHead(6, 3, dropout=1.0)
