"""What verbs answer, as lines for people; ``--json`` gives the same as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medssl.verbs.columns import MOST, count, facts, part, shown, size, table

Result = Mapping[str, Any]


def of_inspection(result: Result) -> list[str]:
    """A few volumes in full, many as a table; problems and what is no scan below."""
    volumes = result["volumes"]
    good = [volume for volume in volumes if "shape" in volume]
    if len(volumes) <= 3:
        lines = [line for volume in good for line in _volume(volume)]
    else:
        base = Path(result["path"])
        rows = [
            [
                _name(volume, base),
                volume.get("modality") or None,
                size(volume["shape"]) + (f", {volume['volumes']} volumes" if "volumes" in volume else ""),
                size([float(f"{value:.4g}") for value in volume["spacing_mm"]]),
                volume["orientation"],
                volume["dtype"] or None,
                _range(volume) or None,
                ", ".join(volume["flags"]) or None,
                ", ".join(sorted({problem["code"] for problem in volume.get("problems", ())})) or None,
            ]
            for volume in good
        ]
        head = ["volume", "kind", "voxels", "mm", "axes", "values", "from … to", "flags", "problem"]
        empty = {at for at in range(len(head)) if all(row[at] is None for row in rows)}
        kept = [at for at in range(len(head)) if at not in empty]
        lines = table([head[at] for at in kept], [[row[at] for at in kept] for row in rows], "--json lists all")
        lines += ["", _summary(result, good)]
    problems = result["problems"] if len(result["problems"]) > 1 or len(volumes) > 1 else []
    told = [f"{_short(p['file'], result['path'])}: {p['reason']} [{p['code']}]" for p in problems]
    more = [f"… and {len(told) - MOST} more: --json lists all"] if len(told) > MOST else []
    return [*lines, *told[:MOST], *more, *_no_scans(result)]


def _no_scans(result: Result) -> list[str]:
    """How many files of each kind are no scans."""
    lines = []
    for what, key in (("beside the images", "objects"), ("no scans", "passed_over")):
        kinds = Counter(item["kind"] for item in result.get(key, ()))
        if kinds:
            lines.append(f"{what}: " + ", ".join(f"{number} × {kind}" for kind, number in kinds.most_common(8)))
    for item in [item for item in result.get("objects", ()) if "segments" in item or "problems" in item][:8]:
        named = ", ".join(f"{one['number']} {one['name']}" for one in item.get("segments", ())[:MOST])
        wrong = ", ".join(f"{problem['reason']} [{problem['code']}]" for problem in item.get("problems", ()))
        lines.append(f"{_short(item['file'], result['path'])}: {wrong or f'segments {named}'}")
    return lines


def _volume(volume: Result) -> list[str]:
    series = f", series {volume['series']} of {count(volume['slices'], 'slice')}" if "series" in volume else ""
    kind = " ".join(word for word in (volume["format"], volume.get("modality", "")) if word)
    marks = ", ".join(f"{float(q):.0%} {value:.4g}" for q, value in volume.get("quantiles", {}).items())
    several = f", {volume['volumes']} volumes, the first is told here" if "volumes" in volume else ""
    known = {
        "  voxels": f"{size(volume['shape'])}, {count(volume['channels'], 'channel')}{several}",
        "  spacing": size(volume["spacing_mm"], "mm"),
        "  axes": f"towards {volume['orientation']}",
        "  values": f"{volume['dtype']} {_range(volume)}".strip(),
        "  below": marks,
        "  flags": volume["flags"],
    }
    return [f"{volume['file']}: {kind}{series}", *facts(known)]


def _name(volume: Result, base: Path) -> str:
    if "series" in volume:
        folder = Path(volume["folder"])
        inner = f"{folder.relative_to(base)}/" if folder != base and folder.is_relative_to(base) else ""
        return f"{inner}#{volume['series']}"
    return _short(volume["file"], base)


def _short(file: str, base: str | Path) -> str:
    path = Path(file)
    return str(path.relative_to(base)) if path != Path(base) and path.is_relative_to(base) else path.name


def _range(volume: Result) -> str:
    return " … ".join(f"{value:.4g}" for value in volume.get("range") or ())


def _summary(result: Result, good: list[Any]) -> str:
    spacings = {tuple(volume["spacing_mm"]) for volume in good}
    bad = sum(bool(volume.get("problems")) for volume in result["volumes"])
    one = f", all of {size(next(iter(spacings)), 'mm')}" if len(spacings) == 1 else f", {len(spacings)} voxel sizes"
    refused = f"; {bad} cannot be used" if bad else ""
    return f"{count(len(result['volumes']), 'volume')} in {result['path']}{one if spacings else ''}{refused}"


def of_conversion(result: Result) -> list[str]:
    """What was written."""
    kind = f"{result['modality']}, " if result["modality"] else ""
    known = {
        "written": result["written"],
        "voxels": f"{size(result['shape'])}, {count(result['channels'], 'channel')}, {kind}{result['dtype']}",
        "spacing": size(result["spacing_mm"], "mm"),
        "axes": f"towards {result['orientation']}",
        "units": result.get("units", ""),
        "flags": result["flags"],
    }
    rows = [[one["number"], one["name"] or None, one["voxels"], one["ml"]] for one in result.get("segments", [])]
    return [*facts(known), *(table(["segment", "name", "voxels", "ml"], rows, "--json lists all") if rows else [])]


def of_manifest(result: Result) -> list[str]:
    """A manifest that was built: what it holds, what was passed over, what comes next."""
    rows, patients, labels = result["rows"], result["patients"], result["labels"]
    held = f"{count(rows, 'row')} of {count(patients, 'patient')}, {labels} with a label map"
    known = {
        "layout": result.get("layout", ""),
        "manifest": f"{result['manifest']}: {held}",
        "classes": [*result["classes"].values()],
    }
    passed = result["passed_over"]
    lines = facts(known)
    if passed:
        lines += ["", f"{count(len(passed), 'file')} passed over:"]
        lines += table(["file", "why"], [[item["file"], item["reason"]] for item in passed], "--json lists all")
    root = "" if Path(result["root"]) == Path(result["manifest"]).parent else f" --root {result['root']}"
    return [*lines, "", f"Next: medssl manifest check {result['manifest']}{root}"]


def of_check(result: Result) -> list[str]:
    """Problems, warnings, and how many of each."""
    rows, patients = count(result["rows"], "row"), count(result["patients"], "patient")
    found = f"{count(len(result['lines']), 'problem')}, {count(len(result['warnings']), 'warning')}"
    return [*result["lines"], *result["warnings"], f"{rows} of {patients}: {found}"]


def of_split(result: Result) -> list[str]:
    """How many rows and patients each split and fold has."""
    lines = [f"{result['manifest']} (seed {result['seed']})"]
    for what, groups in (("split", result["splits"]), ("fold", result.get("folds", {}))):
        rows = [[name, held["rows"], held["patients"]] for name, held in groups.items()]
        lines += table([what, "rows", "patients"], rows) if rows else []
    return lines


def of_preparation(result: Result) -> list[str]:
    """What the store holds and what was set aside."""
    settings = result["settings"]
    spacing = settings["spacing_mm"]
    window, percentiles = settings["window_hu"], settings["percentiles"]
    low_high = f"percentiles {percentiles[0]:g} and {percentiles[1]:g} become 0 and 1"
    if settings["zscore"] is not None:
        low_high = f"mean ∓ {settings['zscore']:g} standard deviations become 0 and 1"
    if settings["n4"]:
        low_high += "; the bias field of MR is corrected"
    if settings["suv"]:
        low_high += "; PET in uptake values"
    if window is not None:
        low_high = f"{window[0]:g} and {window[1]:g} HU become 0 and 1 (without HU: {low_high})"
    aside = result["quarantined"]
    known = {
        "store": result["store"],
        "scans": f"{result['scans']} ({result['built']} made now, {result['reused']} there already)",
        "voxels": "each scan's own" if spacing is None else size(spacing, "mm"),
        "axes": f"towards {settings['orientation']}",
        "values": low_high,
        "set aside": f"{count(len(aside), 'scan')}, listed in {result['quarantine']}" if aside else "",
    }
    return [*facts(known), *(f"  line {note['line']}: {note['error']}" for note in aside)]


def of_training(result: Result) -> list[str]:
    """What was trained, from what, how long, and where it lies."""
    what = result.get("method") or result.get("task")
    labels = result.get("labels") or {}
    said = f"{labels['of_scans']} of {count(labels['patients'], 'patient')}" if labels else ""
    skipped = f", {result['skipped']} skipped" if result["skipped"] else ""
    known = {
        "run": result["run"],
        "trained": f"{result['encoder']} by {what}, {result['init']}",
        "scans": result["scans"],
        "labels": said,
        "steps": f"{result['steps']}{skipped}, in {_time(result['seconds'])}, {result['data_wait']:.0%} of it waiting",
        "memory": f"{result['peak_memory_mb']} MB at most",
        "weights": str(Path(result["run"]) / result["weights"]),
    }
    return [*facts(known), *(f"note: {note}" for note in result["notes"]), f"Next: medssl report {result['run']}"]


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def of_predictions(result: Result) -> list[str]:
    """A row a scan: volumes of the classes, or the likeliest class."""
    found, out = result["predictions"], result["out"]
    head = f"{count(len(found), 'scan')} predicted ({result['task']}), in {out}"
    aside = [f"set aside: {note['error']}" for note in result["quarantined"]]
    if not found:
        return [head, *aside]
    more = f"{out}/predictions.json"
    if "volumes_ml" in found[0]:
        names = list(found[0]["volumes_ml"])
        rows = [[case["mask"], *(float(case["volumes_ml"][name]) for name in names)] for case in found]
        return [head, *table(["mask", *(f"{name} ml" for name in names)], rows, more), *aside]
    if "probabilities" in found[0]:
        likeliest = [max(case["probabilities"].items(), key=lambda pair: float(pair[1])) for case in found]
        rows = [[case["name"], name, float(p)] for case, (name, p) in zip(found, likeliest, strict=True)]
        return [head, *table(["scan", "class", "probability"], rows, more), *aside]
    return [head, *table(["scan", "crops"], [[case["name"], len(case["crops"])] for case in found], more), *aside]


def of_evaluation(result: Result) -> list[str]:
    """A table of the metrics with their intervals over patients."""
    scores = {f"Dice {name}": found for name, found in result.get("dice", {}).items()}
    if "mean_dice" in result:
        scores["Dice, mean"] = result["mean_dice"]
    names = {"auc": "AUC", "accuracy": "accuracy", "crop_auc": "AUC of crops", "crop_accuracy": "accuracy of crops"}
    scores |= {text: result[key] for key, text in names.items() if key in result}
    rows = [[name, found["mean"], found["low"], found["high"], found["cases"]] for name, found in scores.items()]
    lines = table(["metric", "mean", "95 % from", "to", "cases"], rows)
    if any(found["low"] != found["low"] or found["low"] is None for found in scores.values()):
        lines.append("No interval where there is one patient only.")
    folder = result["predictions"]
    return [*lines, f"By case: {folder}/evaluation.json, {folder}/evaluation.csv"]


def of_reduction(result: Result) -> list[str]:
    """How much stays, and what was left out and why."""
    removed, slices = result["removed"], result["unit"] == "slice"
    before, kept = result["scans_before"], result["scans_kept"]
    stays = f"{kept} of {count(before, 'scan')} stay, {count(len(removed), result['unit'])} left out"
    lines = [f"{stays} (distance up to {result['threshold']} of 64)"]
    if removed and slices:
        by_scan: dict[str, int] = {}
        for row in removed:
            by_scan[row["image"]] = by_scan.get(row["image"], 0) + 1
        lines += ["", *table(["scan", "slices left out"], by_scan.items(), result["removed_file"])]
    elif removed:
        rows = [[row["image"], row["kept_image"], f"{row['distance']:g}", row["reason"]] for row in removed]
        lines += ["", *table(["left out", "stands for it", "distance", "why"], rows, result["removed_file"])]
    known = {"manifest": result["manifest"], "left out": result["removed_file"], "paths from": result["root"]}
    return [*lines, "", *facts(known)]


def of_weights(result: Result) -> list[str]:
    """What a weights folder holds."""
    expected = result.get("input") or {}
    spacing, window = expected.get("spacing_mm"), expected.get("window_hu")
    task = dict(result.get("task") or {})
    classes = task.pop("classes", None) or ()
    known = {
        "weights": result["folder"],
        "encoder": part(result["encoder"]) or "a network of its author's own",
        "size": f"{result['parameters']:,} parameters in {count(result['tensors'], 'tensor')}",
        "heads": result["heads"],
        "pretrained by": part(result["method"]),
        "task": part(task) if task else "",
        "classes": [*classes.values()] if isinstance(classes, Mapping) else [*classes],
        "trained on": count(result["scans"], "scan"),
        "channels": result["in_channels"],
        "axes": f"towards {expected['orientation']}" if "orientation" in expected else "",
        "voxels": "each scan's own" if spacing is None else size(spacing, "mm"),
        "window": f"{shown(window[0])} to {shown(window[1])} HU" if window else "",
        "percentiles": expected.get("percentiles"),
        "crop": size(result["crop"], "voxels") if result["crop"] else "",
        "made by": f"medssl {result['medssl_version']}" if result["medssl_version"] else "",
    }
    return facts(known)


def of_fetched(result: Result) -> list[str]:
    """Where a dataset lies, under which licence, and what to mind."""
    known = {"manifest": result["manifest"], "scans": result["scans"], "licence": result["licence"]}
    return [*facts(known), *(f"mind: {trap}" for trap in result["traps"][:MOST])]


def of_preview(result: Result) -> list[str]:
    """The page, and how many views of which size each role has."""
    rows = [
        [
            stage["name"],
            role,
            facts["views"],
            " × ".join(str(n) for n in facts["shape"]),
            " to ".join(f"{length:g}" for length in facts["spacing_mm"]),
            f"{100 * facts['valid']:.0f} %",
        ]
        for stage in result["stages"]
        for role, facts in stage["roles"].items()
    ]
    columns = ["stage", "role", "views", "voxels", "mm a voxel", "inside the scan"]
    return [f"{'page':<8} {result['page']}", *table(columns, rows)]
