"""Run folders, full and read-only disks, no network, Ctrl-C."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medssl import cli
from tests.bad_input.asking import Refused, small_disk


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
    started = {"out", "out/recipe.yaml", "out/metrics.csv", "out/checkpoints"}
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
