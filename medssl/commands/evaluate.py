"""``medssl evaluate``: predictions against labels, with intervals over patients."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medssl.atomic import write_text
from medssl.commands.predict import PREDICTIONS
from medssl.commands.runs import Progress, silent, write_json
from medssl.errors import InputError, from_os_error
from medssl.evaluation.interval import bootstrap, mean_of
from medssl.identifiers import hashed
from medssl.io.read import read_label, read_record_label
from medssl.manifest import Manifest, Record
from medssl.methods.tuning.heights import HEIGHT
from medssl.store.rows import record_name, target_numbers, target_words

EVALUATION, TABLE = "evaluation.json", "evaluation.csv"


def evaluate(
    predictions: str | Path,
    manifest: str | Path,
    *,
    root: str | Path | None = None,
    split: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compare predictions with labels.

    Args:
        predictions: the folder that ``predict`` wrote.
        manifest: the manifest with the labels; rows without a prediction or a label are left out and counted.
        root: folder that the manifest's paths start from.
        split: the manifest's rows of this split alone.
        progress: told at every case.

    Returns:
        For segmentation: ``dice`` (class name to ``mean``, ``low``, ``high`` and ``cases``), ``mean_dice``, and
        ``cases``, each with its Dice by class; a class that a case does not hold has none. For classification:
        ``auc`` and ``accuracy`` over scans, ``crop_auc`` and ``crop_accuracy`` over windows. Intervals are 95 %
        bootstrap over patients, none with one patient. The same stands in ``evaluation.json``, and a table in
        ``evaluation.csv``, beside the predictions.

    Raises:
        InputError: there are no predictions (``missing``), nothing to compare (``too-few``), or a label does not
            fit its scan (``label``).
    """
    folder = Path(predictions)
    answer = _read(folder)
    table = Manifest.read(manifest, root).select(split)
    by_record = {case["record"]: case for case in answer["predictions"] if "record" in case}
    pairs = [(r, by_record[hashed(record_name(r))]) for r in table.records if hashed(record_name(r)) in by_record]
    if not pairs:
        hint = "predict the manifest itself, not a single scan"
        raise InputError("no row of the manifest has a prediction", path=manifest, code="too-few", hint=hint)
    if answer["task"] == "segment":
        found = _segmentation(folder, answer, table, pairs, progress or silent)
    else:
        found = _classification(folder, answer, table, pairs)
    result = {"task": answer["task"], "rows": len(table.records), **found}
    write_json(folder / EVALUATION, result)
    _write_table(folder / TABLE, result)
    return {"predictions": str(predictions), **result}


Pairs = Sequence[tuple[Record, dict[str, Any]]]


def _segmentation(
    folder: Path, answer: dict[str, Any], table: Manifest, pairs: Pairs, progress: Progress
) -> dict[str, Any]:
    from medssl.evaluation.dice import dice_scores

    classes = {int(value): name for value, name in answer["classes"].items()}
    cases: list[dict[str, Any]] = []
    for done, (record, case) in enumerate(pairs):
        progress(done, len(pairs), "comparing with labels")
        mask = read_label(folder / case["mask"])
        label = read_record_label(table, record, mask)
        if label is None:
            continue
        # where nobody has said what a voxel is (-1), nothing is compared
        known = label.data >= 0
        dice = dice_scores(mask.data * known, label.data * known, classes)
        absent = [name for name, value in dice.items() if math.isnan(value)]
        cases.append({"name": case["name"], "patient": case["patient"], "dice": dice, "absent": absent})
    if not cases:
        raise InputError("no row with a prediction has a label", path=table.path, code="too-few")
    patients = [case["patient"] for case in cases]
    names = [name for value, name in classes.items() if value != 0]
    columns = {name: [case["dice"][name] for case in cases] for name in names}
    means = [mean_of(list(case["dice"].values()))(np.arange(len(names))) for case in cases]
    return {
        "dice": {name: _summary(values, patients) for name, values in columns.items()},
        "mean_dice": _summary(means, patients),
        "cases": cases,
    }


def _classification(folder: Path, answer: dict[str, Any], table: Manifest, pairs: Pairs) -> dict[str, Any]:
    settings, names = answer["settings"], list(answer["classes"].values())
    if settings.get("target", HEIGHT) == HEIGHT:
        crops = [(c["truth"], c["probabilities"], case["patient"]) for _, case in pairs for c in case["crops"]]
        return {f"crop_{metric}": found for metric, found in _scores(crops).items()}
    column = settings["target"]
    words = target_words([record for record, _ in pairs])
    scans: list[Scored] = []
    crops = []
    for record, case in pairs:
        text = record.targets.get(column, "").strip()
        if not text:
            continue
        truth = names.index(text) if text in names else int(target_numbers(record, words)[column])
        scans.append((truth, list(case["probabilities"].values()), case["patient"]))
        crops += [(truth, crop["probabilities"], case["patient"]) for crop in case["crops"]]
    if not scans:
        raise InputError("no row with a prediction has a target", path=table.path, code="too-few")
    return {**_scores(scans), **{f"crop_{metric}": found for metric, found in _scores(crops).items()}}


Scored = tuple[int, list[float], str]
"""True class, probabilities of the classes, patient."""


def _scores(rows: Sequence[Scored]) -> dict[str, Any]:
    """AUC and accuracy with their intervals over patients."""
    from medssl.evaluation.auc import auc

    labels, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    patients = [row[2] for row in rows]

    def area(chosen: Any) -> float:
        # a draw of patients may hold one class only; it tells nothing
        return auc(scores[chosen], labels[chosen]) if len(np.unique(labels[chosen])) > 1 else float("nan")

    low, high = bootstrap(patients, area)
    right = (scores.argmax(1) == labels).astype(float).tolist()
    return {
        "auc": {"mean": auc(scores, labels), "low": low, "high": high, "cases": len(rows)},
        "accuracy": _summary(right, patients),
    }


def _summary(values: Sequence[float], patients: Sequence[str]) -> dict[str, Any]:
    """Mean over the cases that have a value, with its interval."""
    low, high = bootstrap(patients, mean_of(values))
    there = [value for value in values if math.isfinite(value)]
    return {"mean": float(np.mean(there)) if there else math.nan, "low": low, "high": high, "cases": len(there)}


def _read(folder: Path) -> dict[str, Any]:
    path = folder / PREDICTIONS
    if not path.is_file():
        reason = f"expected a folder with {PREDICTIONS}, there is none"
        raise InputError(reason, path=folder, code="missing", hint="medssl predict writes it")
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise from_os_error(error, path) from error
    except ValueError as error:
        raise InputError("expected JSON", path=path, code="format") from error
    if not isinstance(data, dict) or not {"task", "classes", "predictions"} <= data.keys():
        raise InputError("is not a file that predict wrote", path=path, code="format")
    return data


def _write_table(path: Path, result: dict[str, Any]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["case", "metric", "class", "value", "low", "high"])
    for case in result.get("cases", ()):
        writer.writerows([case["name"], "dice", name, _number(value), "", ""] for name, value in case["dice"].items())
    for name, found in result.get("dice", {}).items():
        writer.writerow(["all", "dice", name, *(_number(found[key]) for key in ("mean", "low", "high"))])
    for metric in ("mean_dice", "auc", "accuracy", "crop_auc", "crop_accuracy"):
        if metric in result:
            writer.writerow(["all", metric, "", *(_number(result[metric][key]) for key in ("mean", "low", "high"))])
    write_text(path, out.getvalue())


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
