"""Predictions and labels that do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medssl import cli
from medssl.io.read import read
from medssl.io.write import write
from medssl.volume import Volume
from tests.bad_input.asking import Refused, listing


def test_pretrained_weights_do_not_predict(refused: Refused) -> None:
    words = ["predict", "pre", "scans/0.nii.gz", "out"]
    refused(words, 3, "weights-format", "pre/weights: these weights have no head that predicts", "(fine-tune")


def test_another_number_of_channels(refused: Refused, capfd: pytest.CaptureFixture[str]) -> None:
    scan = read("scans/0.nii.gz")
    write(Volume(np.concatenate([scan.data, scan.data]), scan.affine), "two.nrrd")
    refused(["predict", "seg", "two.nrrd", "out"], 3, "not-a-volume", "two.nrrd: expected 1 channel, got 2")
    Path("mixed.csv").write_text("image,patient_id\nscans/0.nii.gz,a\ntwo.nrrd,b\n", encoding="utf-8")
    # the mask of the first scan goes again
    refused(["predict", "seg", "mixed.csv", "out"], 3, "not-a-volume", "two.nrrd: expected 1 channel, got 2")
    assert cli.run(["predict", "seg", "mixed.csv", "out", "--continue-on-error"]) == 1
    assert "set aside: two.nrrd: expected 1 channel, got 2 [not-a-volume]" in capfd.readouterr().out
    assert listing(Path("out")) == {"0.nii.gz", "predictions.json"}


def test_evaluation_of_what_is_not_there(refused: Refused) -> None:
    words = ["evaluate", "masks", "scans/manifest.csv", "--split", "train"]
    refused(words, 3, "too-few", "scans/manifest.csv: no row of the manifest has a prediction")
    Path("odd").mkdir()
    for text, says in (("{}", "is not a file that predict wrote"), ("{", "expected JSON")):
        Path("odd/predictions.json").write_text(text, encoding="utf-8")
        refused(["evaluate", "odd", "scans/manifest.csv"], 3, "format", f"odd/predictions.json: {says}")


def _labelled(data: Any, affine: Any) -> None:
    """``scans/bad.csv``: the manifest with another label map for the first scan."""
    write(Volume(data, affine), "scans/bad.nii.gz")
    text = Path("scans/manifest.csv").read_text(encoding="utf-8")
    Path("scans/bad.csv").write_text(text.replace("0_label.nii.gz", "bad.nii.gz"), encoding="utf-8")
    shutil.copy("scans/manifest.yaml", "scans/bad.yaml")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("moved", "bad.nii.gz: the label map's affine differs from its image's by 5 mm"),
        ("cropped", "bad.nii.gz: the label map has (35, 34, 24) voxels, its image (36, 34, 24)"),
        ("undeclared", "bad.nii.gz has values that are no declared class: 9"),
        ("halves", "voxels of the label map are not whole numbers"),
        ("below", "-5"),
    ],
)
def test_labels_that_do_not_fit(how: str, says: str, refused: Refused) -> None:
    label = read("scans/0_label.nii.gz")
    moved = label.affine.copy()
    moved[0, 3] += 5
    made = {
        "moved": (label.data, moved),
        "cropped": (label.data[:, :-1], label.affine),
        "undeclared": (np.where(label.data == 2, np.uint8(9), label.data), label.affine),
        "halves": (label.data + np.float32(0.5), label.affine),
        "below": (label.data.astype(np.int16) - 5, label.affine),
    }
    _labelled(*made[how])
    assert says in refused(["manifest", "check", "scans/bad.csv", "--deep"], 3, "manifest-check", "1 problem")
    # whole entries of the other scans may stay, the damaged one and the store's own file must not
    for words in (
        ["prepare", "scans/bad.csv", "out"],
        ["finetune", "seg.yaml", "out=new", "data.manifest=scans/bad.csv", "data.store=out"],
    ):
        kept = _entries_of_undeclared() if how == "undeclared" else set()
        refused(words, 3, "label", says, leaves=kept)
        assert not Path("out/store.json").exists()
        shutil.rmtree("out", ignore_errors=True)


def _entries_of_undeclared() -> set[str]:
    """The entries that preparing the scans alone makes: their voxels are sound, only the names do not fit."""
    assert cli.run(["prepare", "scans/bad.csv", "whole", "--root", "scans"]) == 3
    made = {name.replace("whole", "out", 1) for name in listing(Path()) if name.split("/")[0] == "whole"}
    shutil.rmtree("whole")
    return made
