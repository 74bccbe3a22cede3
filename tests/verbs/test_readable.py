"""What verbs say to people: short aligned lines, no raw data structures."""

from __future__ import annotations

from typing import Any

import pytest

from medssl.verbs import readable
from medssl.verbs.columns import MOST, table

VOLUME = {
    "file": "scans/a.nii.gz",
    "format": "nifti.gz",
    "shape": [6, 5, 4],
    "channels": 1,
    "dtype": "int16",
    "spacing_mm": [0.7, 1.9, 3.0],
    "orientation": "RAS",
    "modality": "",
    "range": [0.0, 119.0],
    "quantiles": {"0.5": 59.5},
    "flags": ["sheared"],
    "problems": [],
}
SETTINGS = {
    "orientation": "RAS",
    "spacing_mm": None,
    "window_hu": [-175.0, 250.0],
    "percentiles": [0.5, 99.5],
    "zscore": None,
    "n4": False,
    "suv": False,
}


def test_a_volume_in_full() -> None:
    assert readable.of_inspection({"path": "scans/a.nii.gz", "volumes": [VOLUME], "problems": []}) == [
        "scans/a.nii.gz: nifti.gz",
        "  voxels   6×5×4, 1 channel",
        "  spacing  0.7×1.9×3 mm",
        "  axes     towards RAS",
        "  values   int16 0 … 119",
        "  below    50% 59.5",
        "  flags    sheared",
    ]


def test_many_volumes_as_a_table() -> None:
    problem = {"file": "scans/e.nii", "reason": "the file is empty", "code": "truncated", "hint": ""}
    refused = {"file": "scans/e.nii", "format": "", "flags": [], "problems": [problem]}
    volumes = [*({**VOLUME, "file": f"scans/{name}.nii.gz", "flags": []} for name in "abcd"), refused]
    lines = readable.of_inspection({"path": "scans", "volumes": volumes, "problems": [problem]})
    assert lines[0].split() == ["volume", "voxels", "mm", "axes", "values", "from", "…", "to"]
    assert lines[1].split() == ["a.nii.gz", "6×5×4", "0.7×1.9×3", "RAS", "int16", "0", "…", "119"]
    assert lines[-3:] == [
        "",
        "5 volumes in scans, all of 0.7×1.9×3 mm; 1 cannot be used",
        "e.nii: the file is empty [truncated]",
    ]


def test_metrics_with_their_intervals() -> None:
    dice = {"liver": {"mean": 0.91234, "low": 0.9, "high": 0.93, "cases": 12}}
    mean = {"mean": 0.91234, "low": float("nan"), "high": float("nan"), "cases": 12}
    lines = readable.of_evaluation({"task": "segment", "predictions": "p", "dice": dice, "mean_dice": mean})
    assert lines == [
        "metric       mean  95 % from     to  cases",
        "Dice liver  0.912      0.900  0.930     12",
        "Dice, mean  0.912          –      –     12",
        "No interval where there is one patient only.",
        "By case: p/evaluation.json, p/evaluation.csv",
    ]


def test_what_was_left_out_and_why() -> None:
    row = {"image": "b.nii", "reason": "looks the same", "kept_image": "a.nii", "distance": 2.0}
    result = {"unit": "scan", "threshold": 6, "scans_before": 3, "scans_kept": 2, "removed": [row]}
    files = {"manifest": "out/manifest.csv", "removed_file": "out/removed.csv", "root": "scans"}
    assert readable.of_reduction({**result, **files}) == [
        "2 of 3 scans stay, 1 scan left out (distance up to 6 of 64)",
        "",
        "left out  stands for it  distance  why",
        "b.nii     a.nii          2         looks the same",
        "",
        "manifest    out/manifest.csv",
        "left out    out/removed.csv",
        "paths from  scans",
    ]


def test_a_store_with_scans_set_aside() -> None:
    note = {"line": 3, "error": "b.nii: the file is empty [truncated]"}
    result = {"store": "st", "scans": 4, "built": 3, "reused": 1, "settings": SETTINGS}
    lines = readable.of_preparation({**result, "quarantined": [note], "quarantine": "st/quarantine.json"})
    assert lines == [
        "store      st",
        "scans      4 (3 made now, 1 there already)",
        "voxels     each scan's own",
        "axes       towards RAS",
        "values     -175 and 250 HU become 0 and 1 (without HU: percentiles 0.5 and 99.5 become 0 and 1)",
        "set aside  1 scan, listed in st/quarantine.json",
        "  line 3: b.nii: the file is empty [truncated]",
    ]


def test_a_run() -> None:
    took = {"steps": 100, "seconds": 75.2, "data_wait": 0.04, "skipped": 1, "peak_memory_mb": 900, "notes": ["went on"]}
    said = {
        "run": "runs/a",
        "method": "voco",
        "encoder": "swin",
        "init": "from scratch",
        "scans": 3,
        "weights": "weights",
    }
    assert readable.of_training({**said, **took}) == [
        "run      runs/a",
        "trained  swin by voco, from scratch",
        "scans    3",
        "steps    100, 1 skipped, in 1 min 15 s, 4% of it waiting",
        "memory   900 MB at most",
        "weights  runs/a/weights",
        "note: went on",
        "Next: medssl report runs/a",
    ]


@pytest.mark.parametrize(
    ("case", "head", "row"),
    [
        ({"mask": "a.nii.gz", "volumes_ml": {"liver": 1500.0}}, "mask      liver ml", "a.nii.gz  1500.000"),
        ({"name": "a", "probabilities": {"x": 0.2, "y": 0.8}}, "scan  class  probability", "a     y            0.800"),
        ({"name": "a", "crops": [{}, {}]}, "scan  crops", "a         2"),
    ],
)
def test_predictions(case: dict[str, Any], head: str, row: str) -> None:
    result = {"out": "p", "task": "t", "predictions": [case], "quarantined": [{"error": "b.nii: empty [truncated]"}]}
    assert readable.of_predictions(result) == [
        "1 scan predicted (t), in p",
        head,
        row,
        "set aside: b.nii: empty [truncated]",
    ]


def test_long_tables_are_cut_with_a_word() -> None:
    lines = table(["n"], [[n] for n in range(MOST + 5)], "rows.csv")
    assert len(lines) == MOST + 2
    assert lines[-1] == "… and 5 more: rows.csv"


def test_what_lies_beside_the_scans_is_counted() -> None:
    objects = [{"file": f"scans/{n}", "kind": "a structured report (SR)"} for n in range(2)]
    passed = [{"file": "scans/a", "kind": "plain text"}, {"file": "scans/b", "kind": "a pipe (FIFO)"}]
    result = {"path": "scans", "volumes": [], "problems": [], "objects": objects, "passed_over": passed}
    assert readable.of_inspection(result) == [
        "beside the images: 2 × a structured report (SR)",
        "no scans: 1 × plain text, 1 × a pipe (FIFO)",
    ]


def test_dicom_volumes_of_a_tree_are_named_by_folder_and_number() -> None:
    slices = {"slices": 4, "first_file": "IM0", "file": "scans", "modality": "CT"}
    volumes = [{**VOLUME, **slices, "series": n, "folder": f"scans/p{n}", "flags": []} for n in range(1, 5)]
    volumes[3] |= {"problems": [{"file": "scans/p4/IM0", "reason": "cut", "code": "truncated", "hint": ""}]}
    result = {"path": "scans", "volumes": volumes, "problems": volumes[3]["problems"]}
    lines = readable.of_inspection(result)
    assert lines[1].split()[:2] == ["p1/#1", "CT"]
    assert lines[4].endswith("truncated")
    assert lines[-2].endswith("all of 0.7×1.9×3 mm; 1 cannot be used")
    assert lines[-1] == "p4/IM0: cut [truncated]"


def test_splits_and_folds_as_tables() -> None:
    held = {"rows": 4, "patients": 2}
    result = {"manifest": "s.csv", "seed": 0, "splits": {"train": held}, "folds": {"0": held}}
    assert readable.of_split(result) == [
        "s.csv (seed 0)",
        "split  rows  patients",
        "train     4         2",
        "fold  rows  patients",
        "0        4         2",
    ]
