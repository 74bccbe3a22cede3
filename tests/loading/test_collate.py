from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medssl.errors import UsageError
from medssl.loading.collate import collate
from medssl.views.grid import Grid
from medssl.views.view import IDS, View


def _view(value: float = 0.0, shape: tuple[int, int, int] = (4, 4, 4), draws: int = 0) -> View:
    affine = np.eye(4)
    affine[0, 3] = value
    return View(
        image=torch.full((1, *shape), value),
        grid=Grid.of(shape, affine),
        valid=torch.ones((1, *shape), dtype=torch.bool),
        ids=dict.fromkeys(IDS, 2**61 + 1),
        role="a",
        targets={"age": value},
        hidden=torch.stack([torch.full((2, 2, 2), n == 1) for n in range(draws)]) if draws else None,
        params={"value": value},
    )


def test_views_are_stacked_sample_by_sample_with_their_owners() -> None:
    batch = collate([{"a": [_view(1.0), _view(2.0)], "b": [_view(9.0)]}, {"a": [_view(3.0)]}], step=7)
    assert (batch.size, batch.step) == (2, 7)
    views = batch["a"]
    assert views.image.shape == (3, 1, 4, 4, 4)
    assert views.image[:, 0, 0, 0, 0].tolist() == [1.0, 2.0, 3.0]
    assert views.owner.tolist() == [0, 0, 1]
    assert batch["b"].owner.tolist() == [0]
    assert views.affine.dtype == views.box.dtype == torch.float64
    assert views.affine[:, 0, 3].tolist() == [1.0, 2.0, 3.0]
    assert views.box.shape == (3, 15)
    assert [one["value"] for one in views.params] == [1.0, 2.0, 3.0]


def test_ids_of_62_bits_stay_exact() -> None:
    ids = collate([{"a": [_view()]}])["a"].ids
    assert {name: int(column[0]) for name, column in ids.items()} == dict.fromkeys(IDS, 2**61 + 1)


def test_missing_targets_are_not_a_number() -> None:
    targets = collate([{"a": [_view(1.0), replace(_view(), targets={"score": 4.0})]}])["a"].targets
    assert targets["age"][0] == 1.0
    assert targets["age"][1].isnan()
    assert targets["score"][0].isnan()
    assert targets["score"].dtype == torch.float32


def test_masks_have_draws_first() -> None:
    hidden = collate([{"a": [_view(draws=3)]}, {"a": [_view(draws=3)]}])["a"].hidden
    assert hidden is not None
    assert hidden.shape == (3, 2, 2, 2, 2)
    assert hidden[:, :, 0, 0, 0].tolist() == [[False, False], [True, True], [False, False]]


def test_shapes_of_one_role_must_agree() -> None:
    with pytest.raises(UsageError, match="must have one shape") as caught:
        collate([{"a": [_view(), _view(shape=(4, 4, 6))]}])
    assert caught.value.code == "batch"


def test_labels_stand_with_all_or_none() -> None:
    labelled = replace(_view(), label=torch.zeros((1, 4, 4, 4), dtype=torch.int64))
    with pytest.raises(UsageError, match="a label map must stand with every view"):
        collate([{"a": [labelled, _view()]}])
