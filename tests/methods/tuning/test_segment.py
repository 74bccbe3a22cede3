"""Fine-tuning for segmentation, on a batch made by hand."""

from __future__ import annotations

import pytest
import torch

from medssl.encoders.build import build_encoder
from medssl.errors import InputError, RecipeError
from medssl.methods.contract import Context, ViewSettings
from medssl.methods.tuning.segment import Segment
from medssl.views.elastic import Elastic
from medssl.views.view import Batch, Views

CLASSES = {0: "background", 3: "ball", 7: "block"}


def _method(**settings: float) -> Segment:
    encoder = build_encoder("resenc", 1, widths=(4, 8), blocks=(1, 1), strides=(1, 2))
    return Segment(encoder, CLASSES, width=4, **settings)  # type: ignore[arg-type]


def _batch(label: torch.Tensor) -> Batch:
    count = len(label)
    views = Views(
        image=(label > 0).float() + 0.1 * torch.randn(label.shape),
        valid=label >= 0,
        affine=torch.eye(4, dtype=torch.float64).repeat(count, 1, 1),
        box=torch.zeros(count, 15, dtype=torch.float64),
        owner=torch.arange(count),
        ids={},
        label=label,
    )
    return Batch({"patch": views}, count)


def _labels() -> torch.Tensor:
    label = torch.zeros(2, 1, 8, 8, 8, dtype=torch.long)
    label[:, :, :4], label[:, :, 4:, :4] = 3, 7
    label[0, :, 7] = -1
    return label


def test_label_values_become_class_numbers() -> None:
    assert _method().classes_of(torch.tensor([0, 3, 7, -1])).tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize("value", [2, 9])
def test_undeclared_values_are_refused(value: int) -> None:
    with pytest.raises(InputError, match=rf"labels must be among \[0, 3, 7\], got \[{value}\]"):
        _method().classes_of(torch.tensor([0, value]))


def test_the_loss_falls_on_one_batch_and_reaches_the_encoder() -> None:
    method, batch, ctx = _method(), _batch(_labels()), Context()
    optimizer = torch.optim.AdamW(method.param_groups(), 1e-2)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss, logs = method.loss(method.encode(batch, ctx), batch, ctx)
        torch.autograd.backward(loss)
        losses.append(float(loss.detach()))
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None for p in method.encoder.parameters())
    assert 0 <= float(logs["accuracy"]) <= 1


def test_voxels_outside_the_scan_do_not_count() -> None:
    method, batch, ctx = _method(), _batch(_labels()), Context()
    vectors = {"patch": torch.randn(2, 3, 8, 8, 8)}
    before = method.loss(vectors, batch, ctx)[0]
    vectors["patch"][0, :, 7] += 100
    assert torch.equal(before, method.loss(vectors, batch, ctx)[0])


def test_the_head_goes_first_and_the_encoder_more_slowly() -> None:
    method = _method(freeze_steps=3, encoder_lr=0.1)
    stages = method.stages(10, ViewSettings(crop=(8, 8, 8)))
    assert [(stage.name, stage.steps, stage.trains) for stage in stages] == [("head", 3, ("head.",)), ("all", 7, ())]
    assert stages[0].views["patch"].label
    scales = {id(p): group["lr_scale"] for group in method.param_groups() for p in group["params"]}
    assert {scales[id(p)] for p in method.encoder.parameters()} == {0.1}
    assert {scales[id(p)] for p in method.head.parameters()} == {1.0}
    assert len(scales) == len(list(method.parameters()))
    with pytest.raises(RecipeError, match=r"at most optim\.steps"):
        method.stages(2, ViewSettings())


def test_a_background_alone_is_refused() -> None:
    with pytest.raises(InputError, match="the background and a class"):
        Segment(build_encoder("resenc", 1, widths=(4,), blocks=(1,), strides=(1,)), {0: "background"})


def test_the_crop_zooms_and_is_turned_and_bent() -> None:
    settings = ViewSettings(crop=(8, 8, 8), scale=(0.5, 1.5), rotate_deg=5, elastic=Elastic(0.5))
    role = _method().views(settings)["patch"]
    assert (role.crop.scale, role.spatial.scale) == ((0.5, 1.5), (1.0, 1.0))
    assert (role.spatial.rotate_deg, role.spatial.elastic) == (5, settings.elastic)
