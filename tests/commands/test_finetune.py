"""From weights to masks and numbers."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from medssl.commands.evaluate import evaluate
from medssl.commands.finetune import finetune
from medssl.commands.labelled import few_patients
from medssl.commands.predict import predict
from medssl.commands.pretrain import pretrain
from medssl.commands.weights import check_weights, show_weights
from medssl.errors import InputError, MedsslError, RecipeError, UsageError, WeightsError
from medssl.io.read import read
from medssl.manifest import Manifest
from medssl.weights.folder import load_weights
from tests.commands.tiny import recipe, simclr
from tests.training.tiny import make_scans, make_store


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    make_scans(folder)
    return folder


@pytest.fixture(scope="module")
def runs(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs ``pre``, ``segment``, ``region`` and ``kind``."""
    out = tmp_path_factory.mktemp("runs")
    pretrain(simclr(scans, out / "pre"))
    task = {"name": "segment", "width": 8, "freeze_steps": 1}
    finetune(recipe(scans, out / "segment", task=task, init=str(out / "pre"), encoder=None))
    finetune(recipe(scans, out / "region", task={"name": "classify", "regions": 2}))
    finetune(recipe(scans, out / "kind", task={"name": "classify", "target": "kind"}))
    return out


def test_the_encoder_comes_from_the_weights(runs: Path) -> None:
    facts = json.loads((runs / "segment" / "run.json").read_text())
    assert facts["init"] == "loaded 24 of 24 tensors, 100.0 % of the parameters"
    shown = show_weights(runs / "segment")
    assert shown["encoder"] == show_weights(runs / "pre")["encoder"]
    assert shown["task"]["classes"] == {"0": "background", "1": "ball", "2": "block"}
    assert shown["heads"] == ["segment"]
    assert check_weights(runs / "segment")["problems"] == []
    assert (runs / "segment" / "metrics.csv").read_text().count("\n") == 3


def test_masks_lie_in_the_scans_own_geometry(scans: Path, runs: Path, tmp_path: Path) -> None:
    answer = predict(runs / "segment", scans / "manifest.csv", tmp_path / "out", split="test")
    assert [found["mask"] for found in answer["predictions"]] == ["2.nii.gz", "3.nii.gz"]
    for found in answer["predictions"]:
        mask, scan = read(tmp_path / "out" / found["mask"]), read(scans / found["mask"])
        assert mask.data.dtype == np.uint8
        assert mask.shape == scan.shape
        np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-5)
        voxel = abs(np.linalg.det(scan.affine[:3, :3])) / 1000
        assert found["volumes_ml"]["ball"] == pytest.approx((mask.data == 1).sum() * voxel, rel=1e-4)
    saved = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert saved["predictions"] == answer["predictions"]


def test_labels_as_predictions_have_a_dice_of_one(scans: Path, runs: Path, tmp_path: Path) -> None:
    predict(runs / "segment", scans / "manifest.csv", tmp_path, split="test")
    for name in ("2", "3"):
        shutil.copy(scans / f"{name}_label.nii.gz", tmp_path / f"{name}.nii.gz")
    result = evaluate(tmp_path, scans / "manifest.csv")
    assert result["dice"] == {n: {"mean": 1.0, "low": 1.0, "high": 1.0, "cases": 2} for n in ("ball", "block")}
    assert result["rows"] == 4
    with (tmp_path / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"case": "2", "metric": "dice", "class": "ball", "value": "1", "low": "", "high": ""} in rows
    assert rows[-1]["metric"] == "mean_dice"
    assert json.loads((tmp_path / "evaluation.json").read_text())["cases"][0]["dice"] == {"ball": 1.0, "block": 1.0}


def test_a_single_scan_is_predicted_too(scans: Path, runs: Path, tmp_path: Path) -> None:
    answer = predict(runs / "segment" / "weights", scans / "0.nii.gz", tmp_path / "out")
    assert [found["name"] for found in answer["predictions"]] == ["0"]
    with pytest.raises(InputError, match="no row of the manifest has a prediction"):
        evaluate(tmp_path / "out", scans / "manifest.csv")


def test_regions_of_the_body(scans: Path, runs: Path, tmp_path: Path) -> None:
    answer = predict(runs / "region", scans / "manifest.csv", tmp_path / "out", split="test")
    crops = answer["predictions"][0]["crops"]
    assert {crop["truth"] for crop in crops} == {0, 1}
    assert all(sum(crop["probabilities"]) == pytest.approx(1, abs=1e-4) for crop in crops)
    result = evaluate(tmp_path / "out", scans / "manifest.csv")
    assert 0 <= result["crop_auc"]["low"] <= result["crop_auc"]["high"] <= 1
    assert result["crop_auc"]["cases"] == sum(len(case["crops"]) for case in answer["predictions"])


def test_a_target_column(scans: Path, runs: Path, tmp_path: Path) -> None:
    answer = predict(runs / "kind", scans / "manifest.csv", tmp_path / "out", split="test")
    assert list(answer["predictions"][0]["probabilities"]) == ["a", "b"]
    result = evaluate(tmp_path / "out", scans / "manifest.csv")
    assert result["auc"]["mean"] in (0.0, 0.5, 1.0)
    assert result["accuracy"]["cases"] == 2


def test_one_class_has_no_auc(scans: Path, runs: Path, tmp_path: Path) -> None:
    predict(runs / "kind", scans / "manifest.csv", tmp_path / "out", split="test")
    lines = (scans / "manifest.csv").read_text().splitlines()
    one = scans / "one.csv"
    one.write_text("\n".join([lines[0], *[line for line in lines if line.startswith("2.nii.gz")]]) + "\n")
    with pytest.raises(InputError, match="two classes"):
        evaluate(tmp_path / "out", one)


def test_weights_without_a_head_do_not_predict(scans: Path, runs: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no head that predicts"):
        predict(runs / "pre", scans / "0.nii.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_predictions_are_not_overwritten(scans: Path, runs: Path, tmp_path: Path) -> None:
    predict(runs / "segment", scans / "0.nii.gz", tmp_path / "out")
    with pytest.raises(UsageError, match="predictions already"):
        predict(runs / "segment", scans / "0.nii.gz", tmp_path / "out")
    with pytest.raises(UsageError, match="overlap"):
        predict(runs / "segment", scans / "0.nii.gz", tmp_path / "new", overlap=1.0)


@pytest.mark.parametrize(
    ("sections", "kind", "reason"),
    [
        ({"encoder": None}, RecipeError, "encoder: name one"),
        ({"data": {"split": None}}, RecipeError, "splits test, train, expected the one to train on"),
        ({"data": {"split": "val"}}, InputError, "no scan is of split"),
        ({"task": {"name": "segment", "freeze_steps": 3}}, RecipeError, "at most optim.steps"),
        ({"task": {"name": "classify", "target": "age"}}, InputError, "no row has a value in the column age"),
        ({"task": {"name": "classify", "regions": 1}}, RecipeError, "regions"),
        ({"labels": 0}, RecipeError, "labels: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_tuned_is_refused(
    sections: dict[str, object], kind: type[MedsslError], reason: str, scans: Path, tmp_path: Path
) -> None:
    plain = recipe(scans, tmp_path / "run", task="segment")
    data = sections.get("data", {})
    assert isinstance(data, dict)
    plain = {**plain, **sections, "data": {**plain["data"], **data}}
    with pytest.raises(kind, match=reason):
        finetune(plain)
    assert not (tmp_path / "run").exists()


def unlabelled(folder: Path, count: int, without: int) -> None:
    """Scans of which the first few have no label map."""
    make_scans(folder, count)
    path = folder / "manifest.csv"
    text = path.read_text()
    for number in range(without):
        text = text.replace(f"{number}_label.nii.gz", "")
    path.write_text(text)


def test_scans_without_labels_are_left_out(tmp_path: Path) -> None:
    unlabelled(tmp_path, 4, 1)
    done = finetune(recipe(tmp_path, tmp_path / "run", task="segment"))
    assert done["notes"] == ["1 of 2 scans have no label map: left out"]
    assert done["scans"] == 1
    assert done["labels"] == {"asked": None, "patients": 1, "of_scans": 2}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["notes"] == done["notes"]
    assert len(load_weights(tmp_path / "run").config["trained_on"]["scans"]) == 1


def test_without_any_label_there_is_nothing_to_learn(tmp_path: Path) -> None:
    unlabelled(tmp_path, 4, 2)
    with pytest.raises(InputError, match="none of 2 scans has a label map") as caught:
        finetune(recipe(tmp_path, tmp_path / "run", task="segment"))
    assert caught.value.code == "too-few"
    assert not (tmp_path / "run").exists()


def test_rows_without_a_target_are_left_out(scans: Path, tmp_path: Path) -> None:
    table = scans / "kinds.csv"
    table.write_text((scans / "manifest.csv").read_text().replace(",a\n", ",\n", 1))
    shutil.copy(scans / "manifest.yaml", scans / "kinds.yaml")
    task = {"name": "classify", "target": "kind"}
    plain = recipe(scans, tmp_path / "run", task=task, data={"manifest": str(table), "store": str(tmp_path / "store")})
    done = finetune({**plain, "data": {**plain["data"], "split": "train"}})
    assert done["notes"] == ["1 of 2 scans have no value of kind: left out"]
    # the class that only left-out or untrained rows have still counts
    assert load_weights(tmp_path / "run").config["task"]["classes"] == ["a", "b"]


def test_few_patients_labels_are_chosen_by_the_seed(tmp_path: Path) -> None:
    make_scans(tmp_path, 12)
    chosen: dict[int, list[str]] = {}
    for count in (2, 4):
        asked = recipe(tmp_path, tmp_path / f"run{count}", task="segment", labels=count)
        done = finetune({**asked, "optim": {"steps": 1, "batch": 1}})
        assert done["scans"] == count
        facts = json.loads((tmp_path / f"run{count}" / "run.json").read_text())["labels"]
        assert (facts["asked"], facts["patients"], facts["of_scans"]) == (count, count, 6)
        chosen[count] = facts["chosen"]
    assert set(chosen[2]) < set(chosen[4])
    card = (tmp_path / "run4" / "weights" / "README.md").read_text()
    assert "| labels | 4 patients, 4 scans |" in card


def test_the_choice_of_patients_is_a_function_of_seed_and_patient(tmp_path: Path) -> None:
    store, manifest = make_store(tmp_path, 12), Manifest.read(tmp_path / "manifest.csv")

    def chosen(count: int, seed: int, positions: Sequence[int] = range(12)) -> set[str]:
        found = few_patients(store.subset(positions), manifest, count, seed)
        return {found.row(n).patient for n in range(len(found))}

    for seed in range(5):
        sets = [chosen(count, seed) for count in range(1, 13)]
        assert [len(found) for found in sets] == list(range(1, 13))
        assert all(few < more for few, more in pairwise(sets))
        assert chosen(3, seed, list(reversed(range(12)))) == sets[2]
    assert len({frozenset(chosen(4, seed)) for seed in range(8)}) > 4


def test_scans_of_one_patient_stay_together(tmp_path: Path) -> None:
    make_scans(tmp_path, 4)
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text().replace(",p1,", ",P0 ,"))
    done = finetune(recipe(tmp_path, tmp_path / "run", task="segment", labels=1))
    assert done["scans"] == 2
    assert done["labels"]["patients"] == 1


def test_more_labels_than_there_are_patients_are_refused(tmp_path: Path) -> None:
    unlabelled(tmp_path, 4, 1)
    with pytest.raises(
        InputError, match=r"labels of 2 patients are asked for, the scans to train on have .* 1"
    ) as caught:
        finetune(recipe(tmp_path, tmp_path / "run", task="segment", labels=2))
    assert caught.value.code == "too-few"
    assert not (tmp_path / "run").exists()


def test_changed_task_classes_do_not_fit_the_head(runs: Path, scans: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "segment" / "weights", tmp_path / "w")
    config = load_weights(tmp_path / "w").config
    config["task"]["classes"].pop("2")
    (tmp_path / "w" / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="segment: the weights fit too little"):
        predict(tmp_path / "w", scans / "0.nii.gz", tmp_path / "out")
