"""Pretraining runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from medssl.commands.pretrain import PretrainRecipe, pretrain
from medssl.errors import IntegrityError, MedsslError, RecipeError, UsageError, WeightsError
from medssl.plain_yaml import load_yaml
from medssl.recipe import check
from medssl.training.logs import read_metrics
from medssl.weights.folder import load_weights
from tests.commands.tiny import simclr
from tests.training.tiny import make_scans

OWN = "tests.commands.test_pretrain:OwnNetwork"


class OwnNetwork(nn.Module):
    """A network that knows nothing of medssl.

    Args:
        width: channels.
    """

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(1, width, 3, 2, 1), nn.ReLU(), nn.Conv3d(width, width, 3, 2, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A map."""
        out: torch.Tensor = self.layers(x)
        return out


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    make_scans(folder)
    return folder


@pytest.fixture(scope="module")
def run(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("runs") / "first"
    pretrain(simclr(scans, out))
    return out


def test_a_run_leaves_what_it_says(scans: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    answer = pretrain(simclr(scans, tmp_path / "run"), ["optim.lr=1e-3"], progress=lambda *a: told.append(a))
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["checkpoints", "health.npz", "metrics.csv", "pictures", "recipe.yaml", "run.json", "weights"]
    assert (answer["steps"], answer["init"], answer["scans"]) == (2, "from scratch", 2)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["versions"]["torch"] == torch.__version__
    assert 0 <= facts["data_wait"] <= 1
    assert told[-1] == (2, 2, "simclr")
    assert len(read_metrics(tmp_path / "run" / "metrics.csv")["loss"]) == 2
    config = load_weights(tmp_path / "run").config
    assert config["crop"] == [16, 16, 16]
    assert len(config["trained_on"]["scans"]) == 2
    again = check(PretrainRecipe, load_yaml(tmp_path / "run" / "recipe.yaml"))
    assert again.optim.lr == 1e-3


def test_the_seed_decides_the_weights(scans: Path, run: Path, tmp_path: Path) -> None:
    pretrain(simclr(scans, tmp_path / "same"))
    pretrain(simclr(scans, tmp_path / "other", seed=1))
    digests = [load_weights(out).config["checksums"] for out in (run, tmp_path / "same", tmp_path / "other")]
    assert digests[0] == digests[1] != digests[2]


def test_it_goes_on_from_weights_heads_included(scans: Path, run: Path, tmp_path: Path) -> None:
    frozen = {"steps": 1, "batch": 2, "lr": 1e-30}
    answer = pretrain(simclr(scans, tmp_path / "next", init=str(run), optim=frozen, seed=5))
    assert answer["init"].startswith("loaded 24 of 24 tensors, 100.0 %")
    assert answer["init"].endswith("heads: projector")
    before, after = load_weights(run), load_weights(tmp_path / "next")
    assert all(torch.allclose(after.encoder[name], value) for name, value in before.encoder.items())
    projector = after.heads["projector"]
    # running statistics of a batch norm move with any step
    kept = {name: value for name, value in before.heads["projector"].items() if name.endswith(("weight", "bias"))}
    assert kept
    assert all(torch.allclose(projector[name], value) for name, value in kept.items())


def test_another_input_contract_is_noted(scans: Path, run: Path, tmp_path: Path) -> None:
    sections = simclr(scans, tmp_path / "run", init=str(run))
    sections["data"] = {**sections["data"], "store": None, "percentiles": [1.0, 99.0]}
    assert any("percentiles [0.5, 99.5]" in note for note in pretrain(sections)["notes"])


def test_weights_of_another_architecture_are_refused(scans: Path, run: Path, tmp_path: Path) -> None:
    other = {"name": "resnet", "depth": 10, "width": 4}
    with pytest.raises(WeightsError, match="fit too little") as caught:
        pretrain(simclr(scans, tmp_path / "run", init=str(run), encoder=other))
    assert (caught.value.code, caught.value.exit_code) == ("weights-fit", 3)
    assert not (tmp_path / "run").exists()


def test_a_network_of_the_users_own(scans: Path, tmp_path: Path) -> None:
    own = {"name": OWN, "width": 6}
    pretrain(simclr(scans, tmp_path / "own", encoder=own))
    weights = load_weights(tmp_path / "own")
    assert weights.config["encoder"] is None
    answer = pretrain(simclr(scans, tmp_path / "next", encoder=own, init=str(tmp_path / "own")))
    assert "100.0 %" in answer["init"]


def test_a_run_is_never_overwritten_but_goes_on(scans: Path, run: Path) -> None:
    before = (run / "metrics.csv").read_bytes()
    with pytest.raises(UsageError, match="a run stands there already") as caught:
        pretrain(simclr(scans, run))
    assert caught.value.code == "exists"
    assert pretrain(simclr(scans, run), resume=True)["notes"] == ["went on from step 2"]
    assert (run / "metrics.csv").read_bytes() == before


def test_a_changed_recipe_does_not_go_on(scans: Path, run: Path) -> None:
    with pytest.raises(UsageError, match=r"optim\.lr was 0\.001, is 0\.1") as caught:
        pretrain(simclr(scans, run), ["optim.lr=0.1"], resume=True)
    assert (caught.value.code, caught.value.exit_code) == ("resume", 2)


@pytest.mark.parametrize(
    ("override", "kind", "reason"),
    [
        ("optim.stepz=3", RecipeError, "unknown key optim.stepz"),
        ("optim.lr=fast", RecipeError, "optim.lr"),
        ("optim.batch=0", RecipeError, "optim.batch"),
        ("method.name=simcl", RecipeError, "nothing is registered"),
        ("encoder.name=os:system", RecipeError, "subclass"),
        ("method._target_=x", IntegrityError, "cannot name code"),
        ("data.split=val", MedsslError, "no scan is of split"),
        ("data.manifest=nothing.csv", MedsslError, "does not exist"),
        ("init=nothing", MedsslError, "does not exist"),
    ],
)
def test_bad_recipes_leave_nothing(
    override: str, kind: type[MedsslError], reason: str, scans: Path, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=reason):
        pretrain(simclr(scans, tmp_path / "run"), [override])
    assert not (tmp_path / "run").exists()


def test_a_checked_recipe_and_a_file_do_the_same(scans: Path, tmp_path: Path) -> None:
    plain: dict[str, Any] = simclr(scans, tmp_path / "a")
    pretrain(check(PretrainRecipe, plain))
    with pytest.raises(UsageError, match="stands there already"):
        pretrain(tmp_path / "a" / "recipe.yaml")
    pretrain(tmp_path / "a" / "recipe.yaml", [f"out={tmp_path / 'b'}"])
    assert load_weights(tmp_path / "a").config["checksums"] == load_weights(tmp_path / "b").config["checksums"]


def test_a_collapse_is_noted_at_once_in_the_answer_and_in_the_run(scans: Path, tmp_path: Path) -> None:
    heard: list[str] = []

    class Listening:
        def __call__(self, done: int, total: int, text: str) -> None: ...

        def note(self, text: str) -> None:
            heard.append(text)

    sections = simclr(scans, tmp_path / "run")
    sections["method"] = {"name": "tests.training.collapsing:Collapsing"}
    sections["optim"] = {"steps": 12, "batch": 2, "lr": 1e-2}
    sections["keep"] = {"tensorboard": False, "pictures_every": 0, "health_every": 1}
    answer = pretrain(sections, progress=Listening())
    assert len(heard) == 1
    assert "nearly one vector" in heard[0]
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert answer["notes"] == facts["notes"] == heard
    assert answer["health"] == facts["health"]
    assert answer["health"]["embedding_spread"] < 0.1
