"""Every recipe that comes with medssl is checked, has its header, runs for two steps, and stands in the docs."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medssl.commands.finetune import FinetuneRecipe, finetune
from medssl.commands.pretrain import PretrainRecipe, pretrain
from medssl.commands.recipe import check_recipe, list_recipes
from medssl.datasets.phantoms import phantom
from medssl.encoders import ENCODERS
from medssl.errors import RecipeError
from medssl.io.read import read
from medssl.io.write import write
from medssl.loading.data import Data
from medssl.manifest import Manifest, Record
from medssl.methods import METHODS
from medssl.methods.tuning import TUNINGS
from medssl.plain_yaml import load_yaml, parse_yaml
from medssl.recipe import to_plain
from medssl.training.hardware import Hardware
from medssl.training.optimizers import Optim
from medssl.training.plan import Keep
from medssl.views.augment import AUGMENTATIONS
from medssl.views.settings import ViewSettings
from medssl.volume import Volume
from medssl.weights.folder import load_weights

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes"
PAGE = ROOT / "docs" / "recipes.md"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml"))
PRETRAIN = [name for name in NAMES if "/pretrain_" in name]
FINETUNE = [name for name in NAMES if "/finetune" in name]
VERBS = dict.fromkeys(PRETRAIN, "pretrain") | dict.fromkeys(FINETUNE, "finetune")
NUMBER = re.compile(r"\bnot yet run\b|\b\d+(\.\d+)? (s|seconds|min|minutes)\b|\b(about|under) a minute\b")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a manifest with six small phantoms, labelled, four of them of split train."""
    folder = tmp_path_factory.mktemp("phantoms")
    records = []
    for number in range(6):
        scan, label = phantom(0, number, "MR", (8.0, 8.0, 9.0), (36, 34, 30), "abdomen")
        # two classes, as the smallest recipe has them
        organs = np.where(label.data == 1, 1, 2 * (label.data > 1)).astype(np.uint8)
        assert set(np.unique(organs)) == {0, 1, 2}
        write(scan, folder / f"{number}.nii.gz")
        write(Volume(organs, label.affine), folder / f"{number}_label.nii.gz")
        split = "train" if number < 4 else "test"
        targets = {"region": ("abdomen", "chest")[number % 2]}
        image, mask = f"{number}.nii.gz", f"{number}_label.nii.gz"
        records.append(Record(image, f"p{number}", label=mask, modality="MR", split=split, targets=targets))
    (folder / "manifest.yaml").write_text("classes: {0: background, 1: first, 2: second}\n")
    Manifest(folder / "manifest.csv", folder, tuple(records)).write(folder / "manifest.csv")
    _sequences(folder, records[:4])
    return folder


def _sequences(folder: Path, records: list[Record]) -> None:
    """``sequences.csv``: of each study the scan itself, and its negative as another sequence."""
    studies = []
    for number, record in enumerate(records):
        scan = read(folder / record.image)
        write(Volume(scan.data.max() - scan.data, scan.affine), folder / f"{number}_other.nii.gz")
        study = {"study_id": f"s{number}", "split": "train"}
        studies.append(Record(record.image, record.patient_id, modality="T1", **study))
        studies.append(Record(f"{number}_other.nii.gz", record.patient_id, modality="T2", **study))
    Manifest(folder / "sequences.csv", folder, tuple(studies)).write(folder / "sequences.csv")


def two_steps(scans: Path, out: Path, manifest: str = "manifest") -> list[str]:
    """Overrides that make any recipe a short run on the phantoms, at their own voxel size."""
    files = {"data.manifest": scans / f"{manifest}.csv", "data.store": scans / f"{manifest}_store"}
    text = {"out": out, **files, "data.split": "train"}
    quoted = [f"{key}={json.dumps(str(value))}" for key, value in text.items()]
    short = [
        "optim.steps=2",
        "optim.warmup_steps=1",
        "optim.batch=2",
        "keep.tensorboard=false",
        "keep.pictures_every=0",
    ]
    return [*quoted, *short, "data.spacing_mm=null", "data.window_hu=null", "data.percentiles=[0.5, 99.5]"]


def small_queue(name: str) -> list[str]:
    """Overrides that let a recipe's queue fill in the first of two steps; a larger one is refused."""
    method = load_yaml(FOLDER / f"{name}.yaml")["method"]
    taken = {"mixing": "hardest", "synthesis": "hardest", "hallucination": "prototypes"}
    parts = [f"method.{part}.{rows}=2" for part, rows in taken.items() if part in method]
    # as many prototypes as a batch and the queue have rows
    parts += ["method.prototypes=4"] if method["name"] == "swav" else []
    return ["method.queue=2", *parts] if "queue" in method else []


def numbers_of(run: Path) -> list[dict[str, float]]:
    """The rows of a run's metrics."""
    head, *rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    return [{key: float(value) for key, value in zip(head, row, strict=True) if _is_number(value)} for row in rows]


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9.]+(e[-+]?\d+)?", text) is not None


def test_there_is_a_recipe_for_every_family_and_task() -> None:
    assert set(NAMES) == set(VERBS)
    wanted = {f"hippocampus/pretrain_{method}" for method in ("simclr", "spark", "mae", "voco")}
    assert wanted | {"hippocampus/finetune"} <= set(NAMES)
    assert {item["name"]: item["verb"] for item in list_recipes()} == VERBS


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_sound_and_says_how_to_run_it(name: str) -> None:
    found = check_recipe(name)
    assert (found["verb"], found["problems"]) == (VERBS[name], [])
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40
    title, _, command = lines[0].removeprefix("# ").partition("   ")
    assert 10 < len(title) < 100
    assert command.startswith(f"medssl {VERBS[name]} {name} out="), "first line: title, three spaces, command"
    assert "data.manifest=" in command
    assert lines[1].startswith("# "), "second line: hardware, minutes and the number, or `not yet run`"
    assert NUMBER.search(lines[1]), "second line: hardware, minutes and the number, or `not yet run`"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_whole(name: str) -> None:
    plain = load_yaml(FOLDER / f"{name}.yaml")
    assert set(plain) >= {"out", "encoder", "data", "views", "optim", "hardware", "keep", "init", "seed"}


def test_a_wrong_key_in_a_recipe_would_be_found() -> None:
    with pytest.raises(RecipeError, match=r"unknown key optim\.step"):
        check_recipe("hippocampus/finetune", ["optim.step=3"])


@pytest.mark.parametrize("name", PRETRAIN)
def test_a_pretraining_recipe_runs(name: str, scans: Path, tmp_path: Path) -> None:
    several = name.startswith("sequences/")
    short = two_steps(scans, tmp_path / "run", "sequences" if several else "manifest")
    done = pretrain(name, [*short, *small_queue(name)])
    assert (done["steps"], done["scans"]) == (2, 8 if several else 4)
    weights = load_weights(tmp_path / "run")
    assert weights.config["method"]["name"] == load_yaml(FOLDER / f"{name}.yaml")["method"]["name"]
    assert weights.config["encoder"]["name"] == done["encoder"]
    assert weights.heads
    assert [np.isfinite(row["loss"]) for row in numbers_of(tmp_path / "run")] == [True, True]


@pytest.mark.parametrize("name", FINETUNE)
def test_a_finetuning_recipe_runs(name: str, scans: Path, tmp_path: Path) -> None:
    done = finetune(name, two_steps(scans, tmp_path / "run"))
    assert (done["steps"], done["scans"], done["labels"]["patients"]) == (2, 4, 4)
    weights = load_weights(tmp_path / "run")
    assert set(weights.heads) == {weights.config["task"]["name"]}
    assert len(weights.config["task"]["classes"]) > 1
    assert len(numbers_of(tmp_path / "run")) == 2


def test_pretrained_weights_fit_the_finetuning_recipe() -> None:
    """What ``run.sh`` relies on: one encoder for the three methods that it compares."""
    names = ("pretrain_simclr", "pretrain_spark", "pretrain_voco", "finetune")
    found = [load_yaml(FOLDER / "hippocampus" / f"{name}.yaml")["encoder"] for name in names]
    assert all(encoder == found[0] for encoder in found)


@pytest.mark.slow
def test_the_script_ends_in_a_table(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "hippocampus"
    if not source.is_dir():
        pytest.skip("needs shared/data/hippocampus beside the clone")
    for kind in ("images", "labels"):
        (tmp_path / "raw scans" / kind).mkdir(parents=True)
        for path in sorted((source / kind).glob("*.nii.gz"))[:8]:
            shutil.copy(path, tmp_path / "raw scans" / kind)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    small = "views.crop=[16,16,16] optim.batch=2 keep.tensorboard=false keep.pictures_every=0"
    short = {"STEPS": "1", "FT_STEPS": "1", "JOBS": "3", "OVERRIDES": small, "OMP_NUM_THREADS": "1", "PATH": path}
    script = FOLDER / "hippocampus" / "run.sh"
    done = subprocess.run(
        ["bash", str(script), "raw scans", "out"],
        cwd=tmp_path,
        env={**os.environ, **short},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()[-5:]
    assert head.split() == ["from", "all", "classes", "anterior", "posterior", "patients"]
    assert [row.split()[0] for row in rows] == ["scratch", "simclr", "spark", "voco"]
    assert all(re.search(r" 0\.\d{3}", row) for row in rows)
    # the labels of the same four patients, whatever the start
    chosen = [
        json.loads((tmp_path / "out" / f"finetune_{row.split()[0]}" / "run.json").read_text())["labels"]["chosen"]
        for row in rows
    ]
    assert len(chosen[0]) == 4
    assert all(found == chosen[0] for found in chosen)


def test_the_script_says_how_to_use_it() -> None:
    script = FOLDER / "hippocampus" / "run.sh"
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: bash run.sh FOLDER OUT" in done.stderr


SECTIONS: dict[str, Any] = {
    "data": Data,
    "views": ViewSettings,
    "optim": Optim,
    "hardware": Hardware,
    "keep": Keep,
}


def rows_under(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading of the page: first column to the others, in order."""
    text = PAGE.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"the page has no heading {heading}"
    lines = re.findall(r"^\| `(\w+)` \| (.+) \|$", re.split(r"\n#+ ", rest)[0], flags=re.MULTILINE)
    return {key: cells.split(" | ") for key, cells in lines}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_the_keys_and_defaults_of_a_section(section: str) -> None:
    rows = rows_under(f"### `{section}`")
    fields = dataclasses.fields(SECTIONS[section])
    assert list(rows) == [entry.name for entry in fields]
    for entry in fields:
        told = rows[entry.name][0]
        default = entry.default if entry.default_factory is dataclasses.MISSING else entry.default_factory()
        required = default is dataclasses.MISSING
        assert told == "required" if required else parse_yaml(told, entry.name) == to_plain(default), entry.name


def test_the_page_has_the_keys_of_a_recipe() -> None:
    rows = rows_under("## The keys of a recipe")
    of = {"pretrain": PretrainRecipe, "finetune": FinetuneRecipe}
    for verb, kind in of.items():
        told = {key for key, cells in rows.items() if cells[0] in (verb, "both")}
        assert told == {entry.name for entry in dataclasses.fields(kind)}


def test_the_page_names_every_registered_part() -> None:
    rows = rows_under("## Method, encoder and task")
    for part, registry in {"method": METHODS, "encoder": ENCODERS, "task": TUNINGS}.items():
        assert re.findall(r"`([\w-]+)`", rows[part][0]) == list(registry)
    text = PAGE.read_text(encoding="utf-8")
    listed = re.search(r"The augmentations are (.*?);", text, flags=re.DOTALL)
    assert listed is not None
    assert re.findall(r"`([\w-]+)`", listed[1]) == list(AUGMENTATIONS)


def test_the_page_lists_every_recipe_with_its_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    commands = [(FOLDER / f"{name}.yaml").read_text().splitlines()[0].partition("   ")[2] for name in NAMES]
    assert [command for command in commands if command not in text] == []
