"""Fine-tuning for classification: columns and regions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medssl.encoders.build import build_encoder
from medssl.errors import InputError
from medssl.methods.contract import Context
from medssl.methods.tuning.classify import Classify
from medssl.methods.tuning.heights import body_of, region_names, region_of
from medssl.views.grid import Box
from medssl.views.view import Batch, Views


def _views(box: torch.Tensor, **targets: list[float]) -> Views:
    count = len(box)
    return Views(
        image=torch.rand(count, 1, 8, 8, 8),
        valid=torch.ones(count, 1, 8, 8, 8, dtype=torch.bool),
        affine=torch.eye(4, dtype=torch.float64).repeat(count, 1, 1),
        box=box,
        owner=torch.arange(count),
        ids={"record": torch.full((count,), 5)},
        targets={name: torch.tensor(values) for name, values in targets.items()},
    )


def _encoder() -> torch.nn.Module:
    return build_encoder("resnet", 1, depth=10, width=4, norm="group")


def _box(low: float) -> np.ndarray:
    affine = np.eye(4)
    affine[2, 3] = low
    return Box(affine, (2, 2, 2)).to_numbers()


@pytest.mark.parametrize("flip", [1, -1])
def test_regions_count_from_the_feet_whatever_way_the_scan_is_stored(flip: int) -> None:
    affine = np.diag([1.0, 1.0, 2.0 * flip, 1.0])
    affine[2, 3] = 0.0 if flip > 0 else 78.0
    # 40 voxels of 2 mm from 0 to 78 mm, the body being symmetric in them
    body = body_of(affine, np.array([[0, 0, 4], [9, 9, 36]]))
    # the body reaches from 7 to 71 mm; a box's centre lies half a voxel above its first voxel's
    places = [-50.0, 6.6, 22.4, 22.6, 38.6, 54.6, 70.0, 500.0]
    assert [region_of(_box(place), body, 4) for place in places] == [0, 0, 0, 1, 2, 3, 3, 3]


def test_an_oblique_scan_is_measured_along_its_own_axis() -> None:
    angle = np.deg2rad(25)
    affine = np.eye(4)
    affine[:3, :3] = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    body = body_of(affine, np.array([[0, 0, 0], [9, 9, 40]]))
    for place, region in ((3, 0), (13, 1), (37, 3)):
        corner = affine.copy()
        corner[:3, 3] = affine[:3, :3] @ [2.0, 5.0, place]
        assert region_of(Box(corner, (2, 2, 2)).to_numbers(), body, 4) == region


def test_regions_are_the_labels_of_crops() -> None:
    method = Classify(_encoder(), region_names(4), {5: body_of(np.eye(4), np.array([[0, 0, 0], [9, 9, 40]]))})
    views = _views(torch.from_numpy(np.stack([_box(2), _box(35)])))
    assert method.labels(views).tolist() == [0, 3]
    batch, ctx = Batch({"patch": views}, 2), Context()
    loss, logs = method.loss(method.encode(batch, ctx), batch, ctx)
    assert torch.isfinite(loss)
    assert set(logs) == {"accuracy"}


def test_a_column_is_the_label_and_empty_cells_do_not_count() -> None:
    method = Classify(_encoder(), ("a", "b"), target="kind")
    views = _views(torch.zeros(3, 15), kind=[1.0, float("nan"), 0.0])
    assert method.labels(views).tolist() == [1, -1, 0]
    batch, ctx = Batch({"patch": views}, 3), Context()
    vectors = {"patch": torch.tensor([[0.0, 9.0], [9.0, 0.0], [9.0, 0.0]])}
    loss, logs = method.loss(vectors, batch, ctx)
    assert float(loss) < 0.01
    assert float(logs["accuracy"]) == 1.0


def test_a_missing_column_and_a_single_class_are_refused() -> None:
    with pytest.raises(InputError, match="no row has the target kind, there are: age"):
        Classify(_encoder(), ("a", "b"), target="kind").labels(_views(torch.zeros(1, 15), age=[1.0]))
    with pytest.raises(InputError, match="must have two classes"):
        Classify(_encoder(), ("a",), target="kind")
