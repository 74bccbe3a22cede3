"""Looks at a run's health: their numbers, what they must not change, and what a restart must not lose."""

# ruff: noqa: D102

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medssl.encoders.build import build_encoder
from medssl.encoders.contract import Features
from medssl.methods import METHODS
from medssl.methods.contract import Context, Method, Vectors, ViewSettings
from medssl.objectives.health import effective_rank
from medssl.store.store import Store
from medssl.training.fit import fit
from medssl.training.health import MOST, Health
from medssl.training.logs import read_metrics
from medssl.training.plan import Keep, Plan
from medssl.training.window import Catch, Window
from medssl.views.view import Batch, Role
from tests.methods.tiny import CARRIES, ENCODERS, MASKED, batch_for, build, context, make_views, stage_of
from tests.training.collapsing import Collapsing
from tests.training.tiny import make_method, make_plan, make_store

PAIR = ("view", "partner")


class Pooling(nn.Module):
    """An encoder whose pooled vector is its input."""

    def forward(self, x: Tensor) -> Features:
        return Features([], x)


class Given(Method):
    """Compares what it is given.

    Args:
        encoder: called on the vectors.
        temperature: what similarities are divided by.
    """

    def __init__(self, encoder: nn.Module, *, temperature: float = 0.5) -> None:
        super().__init__()
        self.encoder, self.temperature = encoder, temperature

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        return {}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        return {"view": self.encoder(batch["view"].image).pooled}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        return vectors["view"].sum(), {}

    def exported(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder}


def _batch(patients: list[int], roles: tuple[str, ...] = PAIR, step: int = 0) -> Batch:
    crops = [(sample, (0, 0, 0)) for sample in range(len(patients))]
    return Batch({role: make_views(crops, patients, shape=(2, 2, 2)) for role in roles}, len(patients), step)


def _look(vectors: Vectors, batch: Batch, method: Method | None = None, ctx: Context | None = None) -> dict[str, float]:
    return Health(1, 10).after(batch, vectors, method or Given(Pooling()), ctx or Context())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("scans"))


def _plan(method: Method, steps: int = 6, every: int = 2, **keep: Any) -> Plan:
    plan = make_plan(method, steps=steps)
    return replace(plan, keep=Keep(checkpoint_every=3, pictures_every=0, tensorboard=False, health_every=every, **keep))


def test_two_patients_that_point_apart() -> None:
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    told = _look({"view": rows, "partner": 2 * rows}, _batch([7, 8]))
    assert told == pytest.approx(
        {
            "health_embedding_rank": 1.0,
            "health_embedding_spread": math.sqrt(0.5),
            "health_uniformity": math.log((2 + 4 * math.exp(-8)) / 6),
            "health_alignment": 0.0,
            "health_positive": 1.0,
            "health_positive_variance": 0.0,
            "health_other_patient": -1.0,
            "health_other_patient_variance": 0.0,
            "health_log_mean_exp_positive": 2.0,
            "health_log_mean_exp_other_patient": -2.0,
        },
        abs=1e-6,
    )


def test_every_pair_is_counted_once_and_by_its_kind() -> None:
    health = Health(1, 10)
    # two scans of one patient, one of another; the fourth one's patient is unknown
    angle = torch.tensor([0.0, 0.3, 1.0, 2.0])
    one = torch.stack([angle.cos(), angle.sin()], dim=1)
    two = torch.stack([(angle + 0.1).cos(), (angle + 0.1).sin()], dim=1)
    told = health.after(_batch([7, 7, 8, -1]), {"view": one, "partner": two}, Given(Pooling()), Context())
    assert health.last is not None
    counts = {kind: int(histogram.sum()) for kind, histogram in health.last.histograms.items()}
    assert counts == {"positive": 4, "same_patient": 4, "other_patient": 8}
    assert told["health_positive"] == pytest.approx(math.cos(0.1))
    assert told["health_alignment"] == pytest.approx(2 - 2 * math.cos(0.1))
    assert told["health_same_patient"] == pytest.approx(np.mean(np.cos([0.3, 0.4, 0.2, 0.3])))
    assert health.last.histograms["positive"].tolist()[-1] == 4


def test_a_teacher_stands_in_for_a_view_that_it_alone_encoded() -> None:
    rows = torch.eye(3)
    told = _look({"view": rows, "partner_teacher": rows}, _batch([1, 2, 3]))
    assert (told["health_positive"], told["health_other_patient"]) == (1.0, 0.0)
    assert told["health_embedding_rank"] == pytest.approx(3.0)
    alone = _look({"view": rows, "view_teacher": -rows}, _batch([1, 2, 3], ("view",)))
    assert "health_positive" not in alone


def test_rows_that_are_not_finite_are_left_out() -> None:
    rows = torch.eye(4)
    bad = rows.clone()
    bad[3, 0] = math.nan
    told = _look({"view": bad, "partner": rows}, _batch([1, 2, 3, 4]))
    assert told["health_positive"] == 1.0
    assert all(math.isfinite(value) for value in told.values())
    assert _look({"view": rows * math.nan, "partner": rows * math.inf}, _batch([1, 2, 3, 4])) == {}


def test_one_row_or_none_says_nothing() -> None:
    assert _look({"view": torch.ones(1, 3)}, _batch([5], ("view",))) == {}
    assert _look({}, _batch([5, 6])) == {}


def test_half_precision_and_autocast_do_not_blur_a_look() -> None:
    rows = torch.nn.functional.normalize(torch.randn(6, 5), dim=1)
    batch = _batch([1, 2, 3, 4, 5, 6])
    plain = _look({"view": rows, "partner": rows}, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _look({"view": rows, "partner": rows}, batch) == plain
    assert _look({"view": rows.half(), "partner": rows.half()}, batch) == pytest.approx(plain, abs=2e-3)


def test_of_very_many_views_whole_samples_are_taken() -> None:
    count = MOST + 40
    health = Health(1, 10)
    rows = torch.randn(count, 4)
    health.after(_batch(list(range(count))), {"view": rows, "partner": rows}, Given(Pooling()), Context())
    assert health.last is not None
    assert int(health.last.histograms["positive"].sum()) == MOST // 2
    assert health.last.numbers["positive"] == 1.0


def test_looks_come_when_asked_for_at_the_start_and_at_the_end() -> None:
    def looked(every: int) -> list[int]:
        health = Health(every, 8)
        vectors = {"view": torch.eye(2), "partner": torch.eye(2)}
        batches = [_batch([1, 2], step=step) for step in range(8)]
        return [b.step for b in batches if health.after(b, vectors, Given(Pooling()), Context())]

    assert looked(3) == [0, 3, 6, 7]
    assert looked(100) == [0, 7]
    assert looked(0) == []


def test_outputs_are_caught_once_whoever_calls_the_encoder_and_how_often() -> None:
    method, catch = Given(Pooling()), Catch()
    rows = torch.randn(5, 3, requires_grad=True)
    with catch.during(method):
        with torch.no_grad():
            method.encoder(rows[:2])
        method.encoder(rows[2:])
        catch.enough()
        method.encoder(rows[:2])
    method.encoder(rows)
    found = catch.gathered(lambda value: value)
    assert found is not None
    assert torch.equal(found, rows)
    assert not found.requires_grad
    assert catch.gathered(lambda value: value) is None
    assert len(method.encoder._forward_hooks) == 0


def test_an_encoder_that_fails_leaves_no_hook() -> None:
    method, catch = Given(Pooling()), Catch()
    with pytest.raises(RuntimeError, match="stop"), catch.during(method):
        raise RuntimeError("stop")
    assert len(method.encoder._forward_hooks) == 0


def test_a_window_goes_on_bit_by_bit_and_forgets_other_widths() -> None:
    steps = [torch.randn(n, 3) for n in (4, 1, 7, 2, 5, 3, 3, 12, 2)]
    whole = Window(most=8)
    for at, rows in enumerate(steps):
        whole.add(rows)
        again = Window(whole.rows(), most=8)
        for later in steps[at + 1 :]:
            again.add(later)
        assert torch.equal(again.rows(), torch.cat(steps)[-8:])
    assert torch.equal(whole.rows(), torch.cat(steps)[-8:])
    whole.add(torch.ones(1, 2))
    assert whole.rows().shape == (1, 2)
    assert Window().rows().shape == (0, 0)


def test_the_rank_of_the_encoder_is_that_of_the_last_steps() -> None:
    method, health = Given(Pooling()), Health(1, 10)
    images = torch.randn(3, 4, 6)
    for step in range(3):
        batch = _batch([1, 2, 3, 4], ("view",), step)
        batch = replace(batch, roles={"view": replace(batch["view"], image=images[step])})
        with health.catching(method):
            vectors = method.encode(batch, Context())
        told = health.after(batch, vectors, method, Context())
    rows = images.flatten(0, 1)
    assert told["health_rank"] == effective_rank(rows)
    assert told["health_rank_centred"] == effective_rank(rows, centred=True)
    # those of a step that was left out, too: its vectors never came
    assert "health_embedding_rank" not in health.after(_batch([1, 2], step=3), {}, method, Context())


def test_looking_changes_no_bit_of_a_run(store: Store, tmp_path: Path) -> None:
    found = []
    for every in (0, 1):
        method = make_method()
        fit(method, store, _plan(method, every=every), tmp_path / str(every))
        metrics = read_metrics(tmp_path / str(every) / "metrics.csv")
        found.append((metrics["loss"], metrics["grad_norm"], method.state_dict(), torch.get_rng_state()))
    assert found[0][:2] == found[1][:2]
    assert all(torch.equal(value, found[1][2][name]) for name, value in found[0][2].items())
    assert torch.equal(found[0][3], found[1][3])
    assert "health_rank" not in read_metrics(tmp_path / "0" / "metrics.csv")
    assert not (tmp_path / "0" / "health.npz").exists()


def test_a_run_that_goes_on_has_the_health_of_the_uninterrupted_one(store: Store, tmp_path: Path) -> None:
    def stop(done: int, total: int, text: str) -> None:
        if done == 5:
            raise RuntimeError("the power went off")

    reports = []
    for name in ("whole", "stopped"):
        method = make_method()
        if name == "stopped":
            with pytest.raises(RuntimeError, match="the power went off"):
                fit(method, store, _plan(method), tmp_path / name, progress=stop)
            method = make_method()
        reports.append(fit(method, store, _plan(method), tmp_path / name, resume=name == "stopped"))
    one, two = (read_metrics(tmp_path / name / "metrics.csv") for name in ("whole", "stopped"))
    names = [name for name in one if name.startswith("health_")]
    assert len(names) >= 10
    assert one["step"] == two["step"] == list(range(6))
    for name in names:
        assert [value.hex() for value in one[name]] == [value.hex() for value in two[name]], name
    assert [math.isfinite(value) for value in one["health_rank"]] == [True, False, True, False, True, True]
    assert reports[0]["health"] == reports[1]["health"]
    assert reports[0]["health"]["step"] == 5
    assert reports[0]["health"]["rank"] == one["health_rank"][-1]
    files = [np.load(tmp_path / name / "health.npz") for name in ("whole", "stopped")]
    assert files[0]["step"].tolist() == [0, 2, 4, 5]
    assert all(np.array_equal(files[0][name], files[1][name]) for name in files[0].files)
    assert reports[1]["notes"] == ["went on from step 3"]


def test_chunks_have_the_health_of_the_whole_batch(store: Store, tmp_path: Path) -> None:
    found = []
    for chunk in (None, 1):
        method = make_method(dropout=0.0, norm="group")
        plan = _plan(method, steps=2, every=1)
        fit(method, store, replace(plan, optim=replace(plan.optim, chunk=chunk)), tmp_path / str(chunk))
        metrics = read_metrics(tmp_path / str(chunk) / "metrics.csv")
        found.append({name: values for name, values in metrics.items() if name.startswith("health_")})
    assert found[0].keys() == found[1].keys()
    for name, values in found[0].items():
        assert values == pytest.approx(found[1][name], rel=1e-3, abs=1e-4), name


def _made(kind: str) -> Method:
    if kind == "decay":
        return make_method(dropout=0.0)
    torch.manual_seed(0)
    return Collapsing(build_encoder("resenc", 1, **ENCODERS["resenc"]))


@pytest.mark.parametrize("kind", ["cosine", "decay"])
def test_a_collapse_is_told_once_and_stands_everywhere(kind: str, store: Store, tmp_path: Path) -> None:
    heard: list[str] = []
    method = _made(kind)
    plan = _plan(method, steps=24, every=1)
    optim = replace(plan.optim, weight_decay=0.0 if kind == "cosine" else 300.0, warmup_steps=0)
    report = fit(method, store, replace(plan, optim=optim), tmp_path, note=heard.append)
    assert len(heard) == 1
    assert "the run has collapsed: the embeddings of all views are nearly one vector" in heard[0]
    assert report["notes"] == heard
    assert report["health"]["embedding_spread"] < 0.1
    with np.load(tmp_path / "health.npz") as file:
        assert file["warnings"].tolist() == heard
    # what has been told is not told again
    assert (
        fit(_made(kind), store, replace(plan, optim=optim), tmp_path, resume=True, note=heard.append)["notes"][1:]
        == heard
    )
    assert len(heard) == 1


@pytest.mark.parametrize("name", ["simclr", "voco"])
def test_a_healthy_run_is_not_warned_of(name: str, store: Store, tmp_path: Path) -> None:
    method = make_method(name, dropout=0.0)
    report = fit(method, store, _plan(method, steps=24, every=1), tmp_path)
    assert report["notes"] == []
    assert report["health"]["embedding_spread"] > 0.1
    assert ("alignment" in report["health"]) == (name == "simclr")


def test_masked_methods_have_a_rank_and_no_warning(store: Store, tmp_path: Path) -> None:
    method = build("spark", "resenc")
    report = fit(method, store, _plan(method, steps=3, every=1), tmp_path)
    assert set(report["health"]) == {"step", "rank", "rank_centred", "spread"}
    assert report["notes"] == []
    assert not (tmp_path / "health.npz").exists()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_looked_at(name: str) -> None:
    method = build(name, CARRIES[name][0]).train()
    batch, ctx, health = batch_for(method, name), context(stage=stage_of(method).name), Health(1, 10)
    with health.catching(method):
        vectors = method.encode(batch, ctx)
    told = health.after(batch, vectors, method, ctx)
    assert told["health_rank"] >= 1.0
    assert all(math.isfinite(value) for value in told.values())
    if name in (*MASKED, "models-genesis", "volume-fusion"):
        # they rebuild, and compare no vectors
        assert "health_embedding_rank" not in told
        return
    assert told["health_embedding_spread"] > 0
    assert told["health_other_patient"] <= 1
    assert "health_positive" in told
