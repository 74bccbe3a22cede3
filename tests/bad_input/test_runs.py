"""Run folders, full and read-only disks, no network, Ctrl-C; data and settings that a method cannot learn from."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medssl import cli
from medssl.weights.folder import load_weights
from tests.bad_input.asking import OWN_STORE, RESNET, VIT, Refused, small_disk


def test_a_run_is_never_overwritten(refused: Refused) -> None:
    refused(["pretrain", "pre.yaml"], 2, "exists", "pre: a run stands there already", "(go on with --resume")
    refused(["finetune", "seg.yaml"], 2, "exists", "seg: a run stands there already")
    refused(["predict", "seg", "scans/0.nii.gz", "masks"], 2, "exists", "masks: there are predictions already")
    refused(["demo", "--out", "scans", "--phantoms"], 2, "exists", "scans: something stands there already")


def test_a_changed_recipe_does_not_go_on(refused: Refused) -> None:
    words = ["pretrain", "pre.yaml", "--resume", "optim.lr=0.1"]
    refused(words, 2, "resume", "pre: the run cannot go on, 1 setting changed: optim.lr was 0.001, is 0.1")


def test_damaged_checkpoints_do_not_go_on(refused: Refused) -> None:
    shutil.copytree("pre", "cut")
    for path in Path("cut/checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    refused(["pretrain", "pre.yaml", "--resume", "out=cut"], 3, "checkpoint", "cut/checkpoints: no checkpoint is whole")


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "scans/manifest.csv", "pre.yaml"],
        ["reduce", "scans/manifest.csv", "pre.yaml"],
        ["pretrain", "pre.yaml", "out=pre.yaml"],
        ["pretrain", "pre.yaml", "out=pre.yaml/run"],
        ["pretrain", "pre.yaml", "out=out", "data.store=pre.yaml"],
        ["predict", "seg", "scans/0.nii.gz", "pre.yaml"],
        ["manifest", "split", "scans/manifest.csv", "scans", "--shares", "train=1"],
        ["report", "pre", "--out", "scans"],
        ["recipe", "schema", "--out", "scans"],
    ],
    ids=" ".join,
)
def test_an_output_that_is_something_else(words: list[str], refused: Refused) -> None:
    expected = "expected a file, got a folder" if "scans" in (words[-1], words[3:4] and words[3]) else "got a file"
    refused(words, 2, "exists", expected)


@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "scans/manifest.csv", "locked/store"],
        ["reduce", "scans/manifest.csv", "locked/out"],
        ["convert", "scans/0.nii.gz", "locked/a.nii.gz"],
        ["convert", "scans/0.nii.gz", "locked/a.nrrd"],
        ["manifest", "build", "scans", "locked/a.csv"],
        ["manifest", "split", "scans/manifest.csv", "locked/a.csv", "--shares", "train=1"],
        ["pretrain", "pre.yaml", "out=locked/run"],
        ["predict", "seg", "scans/0.nii.gz", "locked/masks"],
        ["report", "pre", "--out", "locked/page.html"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
@pytest.mark.usefixtures("without_privilege")
def test_a_read_only_folder(words: list[str], refused: Refused) -> None:
    Path("locked").mkdir()
    Path("locked").chmod(0o555)
    refused(words, 5, "disk", "locked/")


def test_a_full_disk_while_preparing(refused: Refused) -> None:
    with small_disk(20_000):
        refused(["prepare", "scans/manifest.csv", "out"], 5, "disk", "out", "bytes are free", "bytes are needed")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.npz", "a.nrrd", "a.mha"])
def test_a_full_disk_while_converting(name: str, refused: Refused) -> None:
    with small_disk(20_000):
        refused(["convert", "scans/0.nii.gz", name], 5, "disk", f"{name}: ", "bytes are free")


def test_a_full_disk_while_training(refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "pre.yaml", "out=out"]
    started = {"out", "out/recipe.yaml", "out/metrics.csv", "out/health.npz", "out/checkpoints"}
    with small_disk(20_000):
        refused(words, 5, "disk", "out/checkpoints: ", "bytes are free", leaves=started)
    assert cli.run([*words, "--resume"]) == 0
    shutil.rmtree("out/weights")
    with small_disk(20_000):
        refused([*words, "--resume"], 5, "disk", "out/weights", "bytes are free")
    assert cli.run([*words, "--resume"]) == 0
    assert "went on from step 2" in capfd.readouterr().out
    assert Path("out/weights/model.safetensors").exists()


@pytest.mark.parametrize("words", [["data", "fetch", "samples"], ["demo"], ["demo", "--quick", "--out", "new"]])
def test_no_network(words: list[str], refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSL_OFFLINE", "1")
    refused(words, 5, "network", "MEDSSL_OFFLINE is set", "medssl demo --phantoms")


def test_ctrl_c_saves_and_the_run_goes_on(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # the signal comes in the middle of step 2, as from a terminal
    code = (
        "import os, signal, sys\n"
        "from medssl import cli\n"
        "from medssl.training.logs import MetricsFile\n"
        "write = MetricsFile.write\n"
        "def interrupted(self, step, *rest):\n"
        "    write(self, step, *rest)\n"
        "    if step == 2: os.kill(os.getpid(), signal.SIGINT)\n"
        "MetricsFile.write = interrupted\n"
        "cli.main(sys.argv[1:])\n"
    )
    words = ["pretrain", "pre.yaml", "out=out", "optim.steps=6"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "medssl: stopped; everything is saved, --resume goes on"
    assert not Path("out/weights").exists()
    assert [path.name[:14] for path in Path("out/checkpoints").iterdir()] == ["step-00000003-"]
    assert cli.run([*words, "--resume", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["steps"], told["notes"]) == (6, ["went on from step 3"])


def _one_patient() -> None:
    rows = Path("scans/manifest.csv").read_text(encoding="utf-8").splitlines()
    Path("one.csv").write_text("\n".join(rows[:2]) + "\n", encoding="utf-8")


@pytest.mark.parametrize("name", ["simclr", "moco-v2", "selfcon"])
def test_scans_of_one_patient_only(name: str, refused: Refused) -> None:
    _one_patient()
    words = ["data.manifest=one.csv", "data.root=scans", "data.store=scans/store"]
    says = f"one.csv: {name} needs scans of at least 2 patients, got 1"
    refused(["pretrain", "pre.yaml", "out=out", f"method={name}", *words], 3, "too-few", says)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        (["optim.batch=1"], "recipe-value", "optim.batch: expected at least 2 for simclr, got 1"),
        (["method=swav"], "recipe-value", "method.prototypes: 300 prototypes need as many rows, got 2"),
        (["method=groco"], "recipe-value", "method.hardest: expected at most 1, since there are 2 scans a batch"),
        (["method=moco-v2"], "recipe-value", "method.queue: expected at most 16 rows a scan, got 4096 for 2 scans"),
        (
            ["method={name: mochi, queue: 3, mixing: {hardest: 4}}", "optim.steps=9"],
            "recipe-value",
            "method.mixing.hardest: expected at most the 3 rows of method.queue, got 4",
        ),
        (["method=dinov2", RESNET], "method", "method: DINOv2 needs a transformer that drops tokens (vit), got ResNet"),
        (["method=selfcon", VIT], "encoder", "method: ViT has a pyramid of 1 level"),
        (
            ["method.temperature=1e-4", "hardware.precision=16-mixed"],
            "recipe-value",
            "method.temperature: expected at least 0.00195 with hardware.precision 16-mixed, got 0.0001",
        ),
        (
            ["optim.chunk=1"],
            "recipe-value",
            "optim.chunk: batch norms take their statistics from all samples of a step",
        ),
        (
            ["optim.chunk=1", "method.norm=layer", "encoder.norm=batch"],
            "recipe-value",
            "(set encoder.norm: group (or instance), or optim.chunk: null)",
        ),
        (["optim.chunk=0"], "recipe-value", "optim.chunk: expected at least 1, got 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_method_that_cannot_learn_so(changes: list[str], code: str, says: str, refused: Refused) -> None:
    exit_code = 3 if code == "too-few" else 2
    refused(["pretrain", "pre.yaml", "out=out", *changes], exit_code, code, says)


@pytest.mark.parametrize(
    "changes",
    [
        ["method.temperature=1e-4", "hardware.precision=16-mixed"],
        ["optim.chunk=1"],
        ["method=dinov2", RESNET],
        ["method=selfcon", VIT],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("verb", [["pretrain"], ["recipe", "check"]], ids=["pretrain", "check"])
def test_what_needs_no_data_is_refused_before_any_is_prepared(
    verb: list[str], changes: list[str], refused: Refused
) -> None:
    # the store would be in `out`
    code = {"method=dinov2": "method", "method=selfcon": "encoder"}.get(changes[0], "recipe-value")
    refused([*verb, "pre.yaml", "out=out", OWN_STORE, *changes], 2, code)


SPOIL = """
import math

from medssl.views.augment.intensity import Intensity


class Spoil(Intensity):
    def __init__(self, p: float = 1.0) -> None:
        self.p = p

    def draw(self, rng, about=None):
        return {"at": 3} if rng.random() < self.p else {}

    def apply(self, image, params):
        image = image.clone()
        image[0, params["at"], 4, 5] = math.nan
        return image
"""


@pytest.mark.parametrize("where", ["loader", "device"])
def test_views_that_are_not_finite_are_left_out_with_their_scans_names(
    where: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("spoiling.py").write_text(SPOIL, encoding="utf-8")
    words = ["optim.steps=8", f"views.augment_on={where}", "views.augment=[{name: 'spoiling:Spoil', p: 0.15}]"]
    assert cli.run(["pretrain", "pre.yaml", "out=out", *words, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    with Path("out/skipped.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert 0 < told["skipped"] < 8
    assert told["skipped_for"] == {"values": len(rows)} == {"values": told["skipped"]}
    assert any("values of a view that are not finite" in note for note in told["notes"])
    assert all(row["scans"].startswith("scans/store/entries/") for row in rows)
    weights = load_weights("out/weights")
    tensors = [value for part in (weights.encoder, *weights.heads.values()) for value in part.values()]
    assert all(bool(value.isfinite().all()) for value in tensors)


def test_views_that_are_never_finite_end_the_run(refused: Refused) -> None:
    Path("spoiling.py").write_text(SPOIL, encoding="utf-8")
    words = ["pretrain", "pre.yaml", "out=out", "views.augment=['spoiling:Spoil']"]
    leaves = {"out", "out/recipe.yaml", "out/metrics.csv", "out/skipped.csv"}
    says = "views held values that are not finite in 11 steps in a row, last at step 10 with scans/store/entries/"
    refused([*words, "optim.steps=20"], 3, "values", says, leaves=leaves)


def test_a_run_that_learned_nothing_leaves_no_weights(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("spoiling.py").write_text(SPOIL, encoding="utf-8")
    assert cli.run(["pretrain", "pre.yaml", "out=out", "views.augment=['spoiling:Spoil']"]) == 3
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("medssl: error: nothing was learned, all 2 steps were left out: 2 for values of a view")
    assert not Path("out/weights").exists()
