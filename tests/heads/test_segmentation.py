"""The segmentation head's loss: its value, and what it leaves out."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from medssl.encoders.build import build_encoder
from medssl.errors import InputError, RecipeError
from medssl.heads.segmentation import SegmentationHead


def head(classes: int = 3) -> SegmentationHead:
    return SegmentationHead([4], [(1, 1, 1)], 1, classes, width=2)


def by_hand(logits: Tensor, label: Tensor) -> Tensor:
    """Dice of foreground classes and cross entropy of one sample, voxel by voxel: ``(classes, n)`` and ``(n,)``."""
    chance = logits.softmax(0)
    dice = []
    for c in range(1, len(logits)):
        truth = (label == c).float()
        dice.append((2 * (chance[c] * truth).sum() + 1e-5) / (chance[c].sum() + truth.sum() + 1e-5))
    return 1 - torch.stack(dice).mean() + F.cross_entropy(logits.T, label)


def test_loss_is_that_of_the_voxels_that_count() -> None:
    logits, label = torch.randn(2, 3, 4, 4, 4), torch.randint(0, 3, (2, 1, 4, 4, 4))
    valid = torch.rand(2, 1, 4, 4, 4) > 0.3
    label[:, :, 0] = -1
    kept = (valid & (label >= 0))[:, 0]
    want = by_hand(logits.movedim(1, 0)[:, kept], label[:, 0][kept])
    assert torch.allclose(head().loss(logits, label, valid), want, atol=1e-6)


def test_what_is_left_out_changes_nothing_and_has_no_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, 4, requires_grad=True)
    label, valid = torch.randint(0, 3, (1, 1, 4, 4, 4)), torch.ones(1, 1, 4, 4, 4, dtype=torch.bool)
    valid[:, :, 2:] = False
    loss = head().loss(logits, label, valid)
    loss.backward()
    assert (logits.grad[:, :, 2:] == 0).all()
    assert (logits.grad[:, :, :2] != 0).any()
    other = label.clone()
    other[:, :, 2:] = 0
    assert torch.equal(loss, head().loss(logits, other, valid))


def test_perfect_and_uniform_logits() -> None:
    label = torch.randint(0, 3, (1, 1, 4, 4, 4))
    perfect = 50 * F.one_hot(label[:, 0], 3).movedim(-1, 1).float()
    assert float(head().loss(perfect, label)) == pytest.approx(0, abs=1e-5)
    none = torch.full((1, 1, 4, 4, 4), -1)
    assert float(head().loss(perfect, none)) == 0
    uniform = float(head(2).loss(torch.zeros(1, 2, 4, 4, 4), torch.ones(1, 1, 4, 4, 4, dtype=torch.int64)))
    assert uniform == pytest.approx(1 - 2 / 3 + math.log(2), abs=1e-5)


def test_it_learns_one_batch() -> None:
    encoder = build_encoder("resenc", 1, widths=(4, 8), blocks=(1, 1), strides=(1, 2))
    model = SegmentationHead(encoder.channels, encoder.strides, 1, 2, width=4)
    x = torch.randn(1, 1, 8, 8, 8)
    x[:, :, 2:5] += 3
    label = torch.zeros(1, 1, 8, 8, 8, dtype=torch.int64)
    label[:, :, 2:5] = 1
    optimizer = torch.optim.AdamW([*encoder.parameters(), *model.parameters()], lr=3e-2)
    losses = []
    for _ in range(12):
        loss = model.loss(model(encoder(x), x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_wrong_labels_and_settings_are_refused() -> None:
    with pytest.raises(InputError, match=r"labels must be below 3, got 7 \[label\]"):
        head().loss(torch.zeros(1, 3, 2, 2, 2), torch.full((1, 1, 2, 2, 2), 7))
    with pytest.raises(RecipeError, match="classes must be 2 or more"):
        head(1)
