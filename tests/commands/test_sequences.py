"""Studies of several sequences, from pretraining to masks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medssl.commands.evaluate import evaluate
from medssl.commands.finetune import finetune
from medssl.commands.predict import predict
from medssl.commands.pretrain import pretrain
from medssl.errors import InputError, RecipeError
from medssl.io.read import read
from medssl.io.write import write
from medssl.manifest import Manifest
from medssl.volume import Volume
from tests.commands.tiny import recipe
from tests.training.tiny import make_scans


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T1 of every patient on its own grid, T2 of all but the last on a coarser one."""
    folder = tmp_path_factory.mktemp("studies")
    first = make_scans(folder)
    records = []
    for number, record in enumerate(first.records):
        records.append(replace(record, study_id="1", modality="T1"))
        if number == len(first.records) - 1:
            continue
        scan = read(folder / record.image)
        coarse = Volume(-scan.data[:, ::2, ::2, ::2], scan.affine @ np.diag([2.0, 2.0, 2.0, 1.0]))
        write(coarse, folder / f"{number}_t2.nii.gz")
        records.append(replace(record, image=f"{number}_t2.nii.gz", label="", study_id="1", modality="T2"))
    Manifest(folder / "manifest.csv", folder, tuple(records)).write(folder / "manifest.csv")
    return folder


def _recipe(studies: Path, out: Path, **sections: object) -> dict[str, object]:
    made = recipe(studies, out, **sections)
    made["data"]["sequences"] = ["T1", "T2"]
    return made


def test_weights_know_their_sequences_and_predict_groups_them(studies: Path, tmp_path: Path) -> None:
    pretrain(_recipe(studies, tmp_path / "pre", method={"name": "spark"}))
    config = json.loads((tmp_path / "pre" / "weights" / "config.json").read_text())
    assert config["in_channels"] == 2
    assert config["sequences"] == ["T1", "T2"]
    finetune(
        _recipe(
            studies, tmp_path / "tuned", task={"name": "segment", "width": 8}, init=str(tmp_path / "pre"), encoder=None
        )
    )
    answer = predict(tmp_path / "tuned", studies / "manifest.csv", tmp_path / "masks", split="test")
    # one mask a study, on the grid of its labelled scan, also where T2 is missing
    assert [one["mask"] for one in answer["predictions"]] == ["2.nii.gz", "3.nii.gz"]
    for one in answer["predictions"]:
        mask, scan = read(tmp_path / "masks" / one["mask"]), read(studies / one["mask"])
        assert mask.shape == scan.shape
        np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-5)
    assert len(evaluate(tmp_path / "masks", studies / "manifest.csv")["cases"]) == 2
    with pytest.raises(InputError, match="the weights take the sequences T1, T2 of a study, got a single scan"):
        predict(tmp_path / "tuned", studies / "3.nii.gz", tmp_path / "single")


def test_wrong_sequences_are_refused(studies: Path, tmp_path: Path) -> None:
    made = _recipe(studies, tmp_path / "none", method={"name": "spark"})
    made["data"]["sequences"] = ["PD"]
    with pytest.raises(InputError, match="no row is of the sequences PD"):
        pretrain(made)
    made["data"]["sequences"] = ["T1", "t1"]
    with pytest.raises(RecipeError, match="differ from each other"):
        pretrain(made)
