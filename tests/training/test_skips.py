"""Steps that are left out: views that are not finite, empty batches, overflowing gradients."""

# ruff: noqa: D102

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medssl.errors import InputError, MedsslError, UsageError
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, EmptyBatchError, Method, Vectors, ViewSettings
from medssl.pairing.members import members_of
from medssl.pairing.momentum import MomentumTeacher
from medssl.pairing.queue import Queue
from medssl.store.store import Store
from medssl.training.checkpoint import latest_checkpoint
from medssl.training.fit import fit
from medssl.training.logs import read_metrics
from medssl.training.skips import LINES, NAMES, PATIENCE, SCALES, SkipLog, Tally, views_are_finite
from medssl.views.crops.random_crop import RandomCrop
from medssl.views.view import Batch, Role
from tests.methods.tiny import make_views
from tests.training.tiny import make_plan, make_store


class Flawed(Method):
    """Has everything that a NaN could spoil: batch norm, a queue, a teacher.

    Args:
        encoder: any module.
        empty: steps whose batch says nothing.
    """

    def __init__(self, encoder: nn.Module, *, empty: Sequence[int] = ()) -> None:
        super().__init__()
        self.encoder, self.empty = encoder, tuple(empty)
        self.projector = Projector(1, 4, 4)
        self.teacher = MomentumTeacher({"projector": self.projector}, 0.5)
        self.queue = Queue(8, 4)
        self.steps: list[int] = []

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        return {"view": Role(RandomCrop(settings.crop), augment=(Spoil(),))}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        assert bool(torch.isfinite(batch["view"].image).all())
        rows = batch["view"].image.mean(dim=(1, 2, 3, 4))[:, None]
        self.teacher.follow({"projector": self.projector})
        return {"view": self.projector(self.encoder(rows)), "view_teacher": self.teacher["projector"](rows)}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        self.queue.hold(ctx.gather(vectors["view_teacher"]), members_of(batch, "view", ctx.gather))
        if ctx.step in self.empty:
            raise EmptyBatchError("no pair", code="batch", hint="use more")
        return (vectors["view"] - 1).square().mean(), {}

    def after_step(self, ctx: Context) -> None:
        self.steps.append(ctx.step - 1)
        self.queue.push()
        self.teacher.move({"projector": self.projector}, ctx.progress)

    def exported(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder}


class Spoil:
    """Puts a NaN or an infinity into the views of some steps; the steps are counted by the draws."""

    at: Mapping[int, float] = {}
    drawn = 0

    def draw(self, rng: Any, about: Any = None) -> dict[str, Any]:
        Spoil.drawn += 1
        value = Spoil.at.get(Spoil.drawn - 1)
        return {} if value is None else {"value": value}

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        image = image.clone()
        image[0, 3, 4, 5] = params["value"]
        return image


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("scans"), 3)


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the views, two a step, that are spoiled."""

    def set_them(at: Mapping[int, float]) -> None:
        monkeypatch.setattr(Spoil, "at", dict(at))
        monkeypatch.setattr(Spoil, "drawn", 0)

    return set_them


def _method(**settings: Any) -> Flawed:
    torch.manual_seed(0)
    return Flawed(nn.Linear(1, 1, bias=False), **settings)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_view_that_is_not_finite_spoils_nothing(store: Store, tmp_path: Path, spoiled: Any) -> None:
    spoiled({2: math.nan, 7: math.inf, 9: -math.inf})
    method = _method()
    told = fit(method, store, make_plan(method, steps=6), tmp_path)
    assert method.steps == [0, 2, 5]
    assert (told["skipped"], told["skipped_for"]) == (3, {"values": 3})
    assert all(bool(torch.isfinite(value).all()) for value in method.state_dict().values())
    assert len(method.queue) == 6
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert [math.isnan(loss) for loss in metrics["loss"]] == [False, True, False, True, True, False]
    assert [skipped == 1 for skipped in metrics["skipped"]] == [False, True, False, True, True, False]
    rows = _rows(tmp_path / "skipped.csv")
    assert [(row["step"], row["stage"]) for row in rows] == [("1", "main"), ("3", "main"), ("4", "main")]
    # the one scan of the two that is damaged
    known = {store.name(n) for n in range(len(store))}
    assert all(row["scans"] in known for row in rows)
    assert {row["reason"] for row in rows} == {"values of a view that are not finite"}
    (note,) = [note for note in told["notes"] if "left out" in note]
    assert note == "3 steps were left out: 3 for values of a view that are not finite; skipped.csv names the scans"


def test_without_the_bad_views_the_run_is_the_same(store: Store, tmp_path: Path, spoiled: Any) -> None:
    """The step that is left out leaves no trace: the next step is as if the batch had never been."""
    states = []
    for bad in ({8: math.nan}, {8: math.inf, 9: math.nan}):
        spoiled(bad)
        method = _method()
        fit(method, store, make_plan(method, steps=6), tmp_path / str(len(bad)))
        states.append(method.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_an_empty_batch_is_left_out_and_counted(store: Store, tmp_path: Path, spoiled: Any) -> None:
    spoiled({10: math.nan})
    method = _method(empty=(1, 2))
    told = fit(method, store, make_plan(method, steps=6), tmp_path)
    assert method.steps == [0, 3, 4]
    assert told["skipped_for"] == {"values": 1, "empty": 2}
    assert len(method.queue) == 6
    rows = _rows(tmp_path / "skipped.csv")
    assert [row["reason"][:7] for row in rows] == ["a batch", "a batch", "values "]
    assert len(rows[0]["scans"].split("; ")) == 2


def test_chunks_leave_the_same_steps_out(store: Store, tmp_path: Path, spoiled: Any) -> None:
    spoiled({2: math.nan})
    method = _method(empty=(3,))
    method.projector = Projector(1, 4, 4, norm="layer")
    method.teacher = MomentumTeacher({"projector": method.projector}, 0.5)
    plan = make_plan(method, steps=5)
    fit(method, store, replace(plan, optim=replace(plan.optim, chunk=1)), tmp_path)
    assert method.steps == [0, 2, 4]


@pytest.mark.parametrize(
    ("empty", "bad", "code", "kind", "says"),
    [
        (range(3, 40), {}, "batch", UsageError, r"nothing to learn in 11 steps in a row, last at step 13 .*: no pair"),
        (
            (),
            dict.fromkeys(range(8, 90), math.nan),
            "values",
            InputError,
            "not finite in 11 steps in a row, last at .* 14",
        ),
        (
            range(5),
            dict.fromkeys(range(10, 90), math.nan),
            "values",
            InputError,
            "in 11 steps in a row, last at step 10",
        ),
    ],
)
def test_too_many_in_a_row_end_the_run(
    store: Store, tmp_path: Path, spoiled: Any, empty: Any, bad: Any, code: str, kind: type, says: str
) -> None:
    spoiled(bad)
    method = _method(empty=empty)
    with pytest.raises(kind, match=says) as caught:
        fit(method, store, make_plan(method, steps=40), tmp_path)
    assert isinstance(caught.value, MedsslError)
    assert caught.value.code == code
    assert sum(store.name(n) in str(caught.value) for n in range(len(store))) == 2
    assert len(_rows(tmp_path / "skipped.csv")) == PATIENCE + 1


@pytest.mark.parametrize(("empty", "code"), [(range(4), "batch"), ((0, 1), "values")])
def test_a_run_that_left_out_every_step_says_so(
    store: Store, tmp_path: Path, spoiled: Any, empty: Any, code: str
) -> None:
    spoiled({} if code == "batch" else dict.fromkeys(range(4, 90), math.nan))
    method = _method(empty=empty)
    with pytest.raises(InputError, match=f"nothing was learned, all {4 if code == 'batch' else 5} steps") as caught:
        fit(method, store, make_plan(method, steps=4 if code == "batch" else 5), tmp_path)
    assert caught.value.code == code


def test_counts_and_patience_survive_a_restart(store: Store, tmp_path: Path) -> None:
    method = _method(empty=(1, 4, 5))
    plan = make_plan(method, steps=7, every=6)
    whole = fit(method, store, plan, tmp_path / "a")
    method = _method(empty=(1, 4, 5))
    stopped = replace(plan, keep=replace(plan.keep, checkpoint_every=5))
    with pytest.raises(RuntimeError, match="stop"):
        fit(method, store, stopped, tmp_path / "b", progress=_stop_at(6))
    data, _ = latest_checkpoint(tmp_path / "b" / "checkpoints")
    assert data is not None
    assert (data["counts"]["skipped"], data["counts"]["skipped_empty"], data["counts"]["in_row"]) == (2, 2, 1)
    again = fit(_method(empty=(1, 4, 5)), store, stopped, tmp_path / "b", resume=True)
    assert (again["skipped"], again["skipped_for"]) == (whole["skipped"], whole["skipped_for"]) == (3, {"empty": 3})
    assert _rows(tmp_path / "b" / "skipped.csv") == _rows(tmp_path / "a" / "skipped.csv")


def _stop_at(done: int) -> Any:
    def progress(step: int, total: int, text: str) -> None:
        if step == done:
            raise RuntimeError("stop")

    return progress


def test_gradients_beyond_float16_are_counted_and_lower_the_scale(store: Store, tmp_path: Path, spoiled: Any) -> None:
    spoiled({2: math.nan})
    method = _method(empty=(2,))
    plan = make_plan(method, steps=6)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-60)
    told = _fit_scaled(method, store, plan, tmp_path, scaler)
    # steps 0 and 3 overflow; steps 1 and 2 are left out before a gradient is made, and leave the scale as it is
    assert told["skipped_for"] == {"values": 1, "empty": 1, "overflow": 1}
    assert method.steps == [3, 4, 5]
    assert scaler.get_scale() == 2.0**67
    assert all(bool(torch.isfinite(value).all()) for value in method.state_dict().values())


def test_gradients_that_overflow_at_every_scale_end_the_run(store: Store, tmp_path: Path) -> None:
    method = _method()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=1 - 1e-6)
    with pytest.raises(InputError, match=f"float16 at every scale in {SCALES + 1} steps in a row") as caught:
        _fit_scaled(method, store, make_plan(method, steps=60), tmp_path, scaler)
    assert caught.value.code == "diverged"


def _fit_scaled(method: Method, store: Store, plan: Any, out: Path, scaler: Any) -> dict[str, Any]:
    """A run whose losses are multiplied by a gradient scaler, as with float16 on an accelerator."""
    from medssl.training import run

    make = run.Run._make_trainer

    def scaled(self: run.Run, keeper: Any) -> Any:
        trainer = make(self, keeper)
        plugin = trainer.precision_plugin
        plugin.scaler = scaler
        before = plugin.pre_backward
        plugin.pre_backward = lambda tensor, module: before(scaler.scale(tensor), module)
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Run, "_make_trainer", scaled)
        return fit(method, store, plan, out)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_voxel_of_one_role_is_enough(value: float) -> None:
    roles = {name: make_views([(0, (0, 0, 0)), (1, (0, 0, 0))], [1, 2]) for name in ("view", "partner")}
    assert views_are_finite(Batch(roles, 2))
    roles["partner"].image[1, 0, 15, 15, 15] = value
    assert not views_are_finite(Batch(roles, 2))


def test_the_list_is_bounded(tmp_path: Path) -> None:
    log = SkipLog(tmp_path / "skipped.csv")
    log.write(0, "main", "loss", [f"scan{n}" for n in range(NAMES + 5)])
    assert _rows(tmp_path / "skipped.csv")[0]["scans"].endswith("scan15; and 5 more")
    log._rows *= LINES
    log.write(1, "main", "loss", [])
    assert len(log._rows) == LINES
    again = SkipLog(tmp_path / "skipped.csv", first_step=0)
    again.write(0, "main", "empty", ["a"])
    assert [row["scans"] for row in _rows(tmp_path / "skipped.csv")] == ["a"]


def test_a_tally_of_an_older_run_counts_losses() -> None:
    assert Tally.from_plain({"skipped": 3.0}).counts["loss"] == 3
    tally = Tally.from_plain(Tally({"values": 1, "empty": 2, "loss": 0, "overflow": 4}, 2).to_plain())
    assert (tally.skipped, tally.in_row, tally.counts["overflow"]) == (7, 2, 4)
