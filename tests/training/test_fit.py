"""Stages, surveys, skipped steps and pictures."""

# ruff: noqa: D102

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medssl.errors import InputError, MedsslError, ResourceError, UsageError
from medssl.loading.plan import Stage, Survey
from medssl.loading.sampler import PatientSampler
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.store.store import Store
from medssl.training.fit import fit
from medssl.training.hardware import Hardware
from medssl.training.logs import read_metrics
from medssl.training.plan import Keep
from medssl.training.skips import PATIENCE
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Batch, Role
from tests.training.tiny import make_plan, make_store


class Mean(Method):
    """Brings a weight towards the views' mean, in two stages, with a survey before the second.

    Args:
        encoder: any module.
        bad: steps whose loss is not a number.
    """

    def __init__(self, encoder: nn.Module, *, bad: Sequence[int] = ()) -> None:
        super().__init__()
        self.encoder, self.bad = encoder, tuple(bad)
        self.head = nn.Parameter(torch.zeros(2, 2))
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.register_buffer("moves", torch.zeros((), dtype=torch.long))
        self.seen: list[Any] = []

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        return {"view": Role(RandomCrop(settings.crop))}

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        def sampler(ids: Any, surveys: Mapping[str, Survey]) -> PatientSampler:
            self.seen.append({name: {key: v.shape for key, v in s.items()} for name, s in surveys.items()})
            return PatientSampler(ids, 0)

        first = Stage("head", steps // 2, self.views(settings), trains=("head",))
        return [first, Stage("all", steps - steps // 2, self.views(settings), sampler=sampler, survey=True)]

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        self.seen.append((ctx.stage, ctx.step, self.training, float(torch.rand(1))))
        return {"view": batch["view"].image.mean(dim=(1, 2, 3, 4))[:, None] * self.encoder.weight}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        loss = ((vectors["view"] - 2) ** 2).mean() + ((self.head - 1) ** 2).mean()
        return (loss * math.nan if ctx.step in self.bad else loss), {"extra": torch.tensor(3.0)}

    def survey(self, vectors: Vectors, ids: Mapping[str, Tensor], ctx: Context) -> Survey:
        return {"means": vectors["view"], "record": ids["record"]}

    def after_step(self, ctx: Context) -> None:
        self.moves += 1

    def exported(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder}

    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        assert not self.training
        return {"input": batch["view"].image}


def _method(**settings: Any) -> Mean:
    return Mean(nn.Linear(1, 1, bias=False), **settings)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("scans"), 3)


def test_stages_train_what_they_say_and_surveys_see_every_scan(store: Store, tmp_path: Path) -> None:
    method = _method()
    before = method.encoder.weight.item()  # type: ignore[union-attr,operator]
    plan = make_plan(method, steps=6)
    fit(method, store, replace(plan, stages=plan.stages[:1]), tmp_path / "a")
    assert method.encoder.weight.item() == before  # type: ignore[union-attr,operator]
    assert method.head.abs().sum() > 0
    method = _method()
    report = fit(method, store, make_plan(method, steps=6), tmp_path / "b")
    assert method.encoder.weight.item() != pytest.approx(before)  # type: ignore[union-attr,operator]
    assert torch.equal(method.frozen, torch.ones(2, 2))
    assert int(method.moves) == report["steps"] == 6  # type: ignore[arg-type]
    assert {"all": {"means": (3, 1), "record": (3,)}} in method.seen
    steps = [entry for entry in method.seen if isinstance(entry, tuple) and entry[2]]
    assert [entry[:2] for entry in steps] == [("head", n) for n in range(3)] + [("all", n) for n in range(3, 6)]
    assert len({entry[3] for entry in steps}) == 6
    metrics = read_metrics(tmp_path / "b" / "metrics.csv")
    assert metrics["stage"] == ["head"] * 3 + ["all"] * 3
    assert metrics["extra"] == [3.0] * 6
    assert metrics["loss"][-1] < metrics["loss"][0]


def test_a_step_that_is_not_finite_is_left_out_and_counted(store: Store, tmp_path: Path) -> None:
    method = _method(bad=(1, 2))
    report = fit(method, store, make_plan(method, steps=4), tmp_path)
    assert (report["skipped"], int(method.moves)) == (2, 2)  # type: ignore[arg-type]
    assert all(bool(torch.isfinite(p).all()) for p in method.parameters())
    assert [math.isnan(loss) for loss in read_metrics(tmp_path / "metrics.csv")["loss"]] == [False, True, True, False]


def test_too_many_of_them_in_a_row_stop_the_run(store: Store, tmp_path: Path) -> None:
    method = _method(bad=range(3, 40))
    with pytest.raises(MedsslError, match=rf"{PATIENCE + 1} steps in a row, last at step {PATIENCE + 3}") as caught:
        fit(method, store, make_plan(method, steps=40), tmp_path)
    assert caught.value.code == "diverged"


def test_too_little_memory_says_what_to_lower(store: Store, tmp_path: Path) -> None:
    method = _method()
    plan = replace(make_plan(method, steps=2), hardware=Hardware())
    # a batch that no machine can hold
    method.encode = lambda batch, ctx: {"view": torch.empty(1 << 60)}  # type: ignore[method-assign]
    with pytest.raises(ResourceError, match=r"a batch of 2 with crops of \(16, 16, 16\)") as caught:
        fit(method, store, plan, tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("memory", 5)


def test_pictures_and_tensorboard(store: Store, tmp_path: Path) -> None:
    method = _method()
    told: list[tuple[int, int, str]] = []
    plan = replace(make_plan(method, steps=4), keep=Keep(pictures_every=1))
    fit(method, store, plan, tmp_path, progress=lambda *a: told.append(a))
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"{stage}-{step:08d}.npz" for step, stage in ((2, "all"), (3, "all"), (0, "head"), (1, "head"))]
    first, second = (np.load(tmp_path / "pictures" / name) for name in names[:2])
    assert first["picture.input"].shape == (2, 1, 16, 16, 16)
    assert np.array_equal(first["picture.input"], second["picture.input"])
    assert first["views.view.box"].shape == (2, 15)
    assert any((tmp_path / "tensorboard").iterdir())
    assert told == [(1, 4, "head"), (2, 4, "head"), (3, 4, "all"), (4, 4, "all")]


def test_pictures_change_nothing(store: Store, tmp_path: Path) -> None:
    losses = []
    for every in (0, 1):
        method = _method()
        nn.init.constant_(method.encoder.weight, 0.5)  # type: ignore[union-attr,arg-type]
        plan = replace(make_plan(method, steps=4), keep=Keep(pictures_every=every, tensorboard=False))
        fit(method, store, plan, tmp_path / str(every))
        losses.append(read_metrics(tmp_path / str(every) / "metrics.csv")["loss"])
    assert losses[0] == losses[1]


def test_nothing_to_train_on_and_no_steps_are_refused(store: Store, tmp_path: Path) -> None:
    method = _method()
    with pytest.raises(InputError, match="no scan to train on"):
        fit(method, store.subset([]), make_plan(method), tmp_path)
    with pytest.raises(UsageError, match="at least one step"):
        fit(method, store, replace(make_plan(method), stages=()), tmp_path)
