"""What is refused before the first step of a run."""

# ruff: noqa: D102

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from medssl.commands.preflight import COLDEST, check_data, facts_of, refuse_settings
from medssl.commands.pretrain import PretrainRecipe, pretrain
from medssl.commands.runs import checked_recipe
from medssl.errors import InputError, RecipeError
from medssl.methods.contract import Facts, Method
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine
from medssl.store.store import Store
from medssl.training.skips import PATIENCE
from tests.commands.tiny import recipe, simclr
from tests.methods.tiny import build
from tests.training.tiny import make_scans, make_store


class Wary(Method):
    """Refuses what it was made to refuse."""

    def __init__(self, encoder: Any, *, queue: int = 5, mixing: Any = None, path: str | None = None, least: int = 1):
        super().__init__()
        self.path = path
        self.least_patients = least  # type: ignore[misc]

    def views(self, settings: Any) -> Any:
        return {}

    def encode(self, batch: Any, ctx: Any) -> Any:
        return {}

    def loss(self, vectors: Any, batch: Any, ctx: Any) -> Any:
        return torch.zeros(()), {}

    def exported(self) -> dict[str, nn.Module]:
        return {}

    def check(self, facts: Facts) -> list[str]:
        if self.path is not None:
            raise RecipeError("cannot work", path=self.path, hint="do not")
        return [f"{facts.scans} scans of {facts.patients} patients, {facts.batch} a step"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("scans"))


def asked(**sections: Any) -> PretrainRecipe:
    plain = {**simclr(Path("scans"), Path("out")), **sections}
    return checked_recipe(PretrainRecipe, plain, ())


def test_facts_count_processes_and_known_patients(store: Store) -> None:
    hardware = {"devices": 2, "nodes": 3, "precision": "16-mixed"}
    found = facts_of(asked(optim={"batch": 4, "steps": 7}, hardware=hardware), store)
    assert found == Facts(scans=4, patients=4, batch=24, steps=7, processes=6, half=True, targets=("kind",))
    assert not facts_of(asked(hardware={"precision": "bf16-mixed"}), store).half


@pytest.mark.parametrize(
    ("path", "full"),
    [
        ("queue", "method.queue"),
        ("mixing.hardest", "method.mixing.hardest"),
        ("method.queue", "method.queue"),
        ("optim.batch", "optim.batch"),
        ("encoder.norm", "encoder.norm"),
        (None, None),
    ],
)
def test_what_a_method_refuses_is_named_as_in_the_recipe(path: str | None, full: str | None, store: Store) -> None:
    method = Wary(None, path=path)
    if path is None:
        assert check_data(asked(), method, store, "wary", "m.csv") == ["4 scans of 4 patients, 2 a step"]
        return
    with pytest.raises(RecipeError, match="cannot work") as caught:
        check_data(asked(), method, store, "wary", "m.csv")
    assert (caught.value.path, caught.value.hint) == (full, "do not")


def test_too_few_patients_and_too_small_batches(store: Store) -> None:
    with pytest.raises(InputError, match="wary needs scans of at least 5 patients, got 4") as caught:
        check_data(asked(), Wary(None, least=5), store, "wary", "m.csv")
    assert (caught.value.path, caught.value.code) == ("m.csv", "too-few")
    with pytest.raises(RecipeError, match="at least 3 for wary, got 2") as refused:
        check_data(asked(), Wary(None, least=3), store, "wary", "m.csv")
    assert refused.value.path == "optim.batch"
    assert check_data(asked(hardware={"devices": 2}), Wary(None, least=3), store, "wary", "m.csv")


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "32-true"])
@pytest.mark.parametrize("temperature", [0.1, COLDEST, 0.0019, 1e-6])
def test_a_temperature_too_low_for_float16(temperature: float, precision: str) -> None:
    method = {"name": "simclr", "hidden": 8, "outputs": 4, "temperature": temperature}
    found = asked(method=method, hardware={"precision": precision})
    if precision != "16-mixed" or temperature >= COLDEST:
        refuse_settings(found, build("simclr", "resenc"))
        return
    with pytest.raises(RecipeError, match=r"expected at least 0\.00195 with hardware.precision 16-mixed") as caught:
        refuse_settings(found, build("simclr", "resenc"))
    assert caught.value.path == "method.temperature"


@pytest.mark.parametrize(("temperature", "within"), [(COLDEST, True), (COLDEST / 8, False)])
def test_the_bound_is_where_the_scaler_needs_more_steps_than_a_run_has_patience(
    temperature: float, within: bool
) -> None:
    # the worst of cases: a positive opposite to its row, and a negative that is the row itself
    rows = torch.tensor([[1.0, 0.0], [-1.0, 1e-2], [1.0, 0.0]], dtype=torch.float16, requires_grad=True)
    positive = torch.tensor([[0.0, 1, 0], [0, 0, 0], [0, 0, 0]])
    negative = torch.tensor([[0.0, 0, 1], [0, 0, 0], [0, 0, 0]])
    turned = rows @ torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float16)
    loss, _ = contrast(cosine(rows, turned) / temperature, positive, negative)
    scale, halvings = 2.0**16, 0
    while True:
        rows.grad = None
        (loss * scale).backward(retain_graph=True)
        assert rows.grad is not None
        if bool(torch.isfinite(rows.grad).all()):
            break
        scale, halvings = scale / 2, halvings + 1
    assert (halvings <= PATIENCE) is within


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"optim": {"batch": 4, "chunk": 2}}, "batch norms .* would see 2 of 4: projector.layers.1"),
        (
            {"optim": {"batch": 4, "chunk": 2}, "hardware": {"strategy": "fsdp"}},
            "expected hardware.strategy auto or ddp with a chunk, got fsdp",
        ),
    ],
)
def test_chunks_that_cannot_work(sections: dict[str, Any], says: str) -> None:
    norm = "layer" if "hardware" in sections else "batch"
    with pytest.raises(RecipeError, match=says) as caught:
        refuse_settings(asked(**sections), build("simclr", "resenc", norm=norm))
    assert caught.value.path == "optim.chunk"


def test_a_chunk_of_the_whole_batch_is_the_single_pass() -> None:
    refuse_settings(asked(optim={"batch": 4, "chunk": 4}), build("simclr", "resenc", norm="batch"))


def test_a_run_in_chunks_is_the_run_without_and_notes_are_kept(tmp_path: Path) -> None:
    """Through the command's Python twin: the same losses, and the method's doubts in the run's notes."""
    (tmp_path / "scans").mkdir()
    make_scans(tmp_path / "scans")
    method = {"name": "byol", "hidden": 8, "outputs": 4, "norm": "layer"}
    encoder = {"name": "resenc", "widths": [4, 8], "blocks": [1, 1], "strides": [1, 2], "norm": "group"}
    found = []
    for chunk in (None, 1):
        plain = recipe(tmp_path / "scans", tmp_path / str(chunk), method=method)
        plain |= {"encoder": encoder, "optim": {"steps": 2, "batch": 2, "chunk": chunk, "lr": 1e-4}}
        found.append(pretrain(plain))
        assert any("the teacher hardly moves within 2 steps" in note for note in found[-1]["notes"])
    from medssl.training.logs import read_metrics

    one, two = (read_metrics(tmp_path / name / "metrics.csv") for name in ("None", "1"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5)
