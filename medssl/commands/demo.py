"""``medssl demo``: the whole path on small scans, from a check of the manifest to one page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medssl.atomic import make_folder
from medssl.classes import write_classes
from medssl.commands.demo_state import COMMANDS, FAMILIES, SCRATCH, Demo, peak_memory_bytes, table_of
from medssl.commands.runs import Progress, silent, write_json
from medssl.errors import CheckError, UsageError
from medssl.manifest import Manifest

SPACING_MM, WINDOW_HU = (4.0, 4.0, 4.0), (-175.0, 250.0)
"""As in the demo's recipes."""

TRAIN = "all"
"""The table that everything is trained on; what a task cannot use is left out by ``finetune``."""

QUICK = {"pretrain": 6, "segment": 16, "classify": 8}
"""Steps of the short form, for each kind of run."""


def demo(
    out: str | Path = "medssl-demo",
    *,
    quick: bool = False,
    phantoms: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every step on small scans and write the report.

    Args:
        out: a folder that does not exist yet, or is empty.
        quick: fewer steps, at most 90 seconds.
        phantoms: made-up anatomy instead of the samples; needs no network.
        seed: of every draw.
        progress: called with parts done, parts in all, and what is being done.

    Returns:
        ``report``, ``table`` (one row an initialisation), ``seconds`` by step, ``data_wait`` by run, ``removed``,
        ``peak_memory_mb``, ``commands`` for one's own data, and ``text`` to print.

    Raises:
        UsageError: something stands in ``out`` (``exists``).
        ResourceError: the samples cannot be fetched (``network``).
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("something stands there already", path=out, code="exists", hint="choose another --out")
    run = Demo(folder, quick, phantoms, seed, progress or silent)
    with run.step("get the scans"):
        manifest = _scans(run)
    make_folder(folder)
    with run.step("check the manifest"):
        problems = _check(manifest, run.progress)
    with run.step("leave redundant scans out"):
        reduced = _reduce(run, manifest)
    data = _tables(run, Manifest.read(reduced["manifest"], reduced["root"]))
    with run.step("prepare the store"):
        _prepare(run, data[TRAIN])
    for method in FAMILIES:
        with run.step(f"pretrain by {method}"):
            run.runs[method] = _pretrain(run, method, data)
    for init in (*FAMILIES, SCRATCH):
        with run.step(f"fine-tune from {init}"):
            for task in ("segment", "classify"):
                run.runs[f"{task}_{init}"] = _finetune(run, task, init, data)
        with run.step("predict and evaluate"):
            run.scores[init] = {task: _score(run, task, init, data) for task in ("segment", "classify")}
    with run.step("write the report"):
        report = _report(run, manifest, problems, reduced["removed"], data)
    return _answer(run, report, reduced["removed"])


def _scans(run: Demo) -> Path:
    if run.phantoms:
        from medssl.datasets.phantom_set import write_phantoms

        return write_phantoms(run.out / "phantoms", seed=run.seed, progress=run.progress)
    from medssl.datasets.samples import fetch_samples

    return fetch_samples(None, run.progress)


def _check(manifest: Path, progress: Progress) -> list[str]:
    from medssl.commands.manifest import check_manifest

    found = check_manifest(manifest, deep=True, progress=progress)
    if found["lines"]:
        raise CheckError(
            "the manifest has problems", problems=[str(line) for line in found["lines"]], path=str(manifest)
        )
    return [str(line) for line in found["warnings"]]


def _reduce(run: Demo, manifest: Path) -> dict[str, Any]:
    from medssl.commands.reduce import reduce

    return reduce(manifest, run.out / "reduced", progress=run.progress)


def _tables(run: Demo, manifest: Manifest) -> dict[str, Manifest]:
    """The reduced manifest whole, for training, and the rows that can be scored: with organ labels, with a region."""
    wanted: dict[str, Callable[[Any], Any]] = {
        TRAIN: lambda record: True,
        "segment": lambda record: record.label,
        "classify": lambda record: record.targets.get("region"),
    }
    out = {}
    for name, wants in wanted.items():
        path = run.out / "data" / f"{name}.csv"
        make_folder(path.parent)
        rows = tuple(record for record in manifest.records if wants(record))
        table = Manifest(path=path, root=manifest.root, records=rows, classes=manifest.classes)
        table.write(path)
        write_classes(path.with_suffix(".yaml"), manifest.classes)
        out[name] = Manifest.read(path, manifest.root)
    return out


def _prepare(run: Demo, table: Manifest) -> None:
    from medssl.commands.prepare import prepare

    prepare(
        table.path,
        run.out / "store",
        root=table.root,
        spacing_mm=SPACING_MM,
        window_hu=WINDOW_HU,
        progress=run.progress,
    )


def _overrides(run: Demo, name: str, table: Manifest) -> list[str]:
    text = {
        "out": run.out / "runs" / name,
        "data.manifest": table.path,
        "data.root": table.root,
        "data.store": run.out / "store",
        "data.split": "train",
    }
    return [f"seed={run.seed}", *(_override(key, value) for key, value in text.items())]


def _override(key: str, value: Any) -> str:
    """``key=value`` with the value quoted: a path may hold anything."""
    return f"{key}={json.dumps(str(value))}"


def _steps(run: Demo, kind: str) -> list[str]:
    return [f"optim.steps={QUICK[kind]}", "optim.warmup_steps=2"] if run.quick else []


def _pretrain(run: Demo, method: str, data: Mapping[str, Manifest]) -> dict[str, Any]:
    from medssl.commands.pretrain import pretrain

    overrides = [*_overrides(run, method, data[TRAIN]), *_steps(run, "pretrain")]
    pictures = ["keep.pictures_every=4"] if run.quick else []
    return pretrain(f"demo/pretrain_{method}", [*overrides, *pictures], progress=run.progress)


def _finetune(run: Demo, task: str, init: str, data: Mapping[str, Manifest]) -> dict[str, Any]:
    from medssl.commands.finetune import finetune

    overrides = [*_overrides(run, f"{task}_{init}", data[TRAIN]), *_steps(run, task)]
    if init != SCRATCH:
        overrides.append(_override("init", run.out / "runs" / init / "weights"))
    return finetune(f"demo/finetune_{task}", overrides, progress=run.progress)


def _score(run: Demo, task: str, init: str, data: Mapping[str, Manifest]) -> dict[str, Any]:
    from medssl.commands.evaluate import evaluate
    from medssl.commands.predict import predict

    where = run.out / "predictions" / f"{task}_{init}"
    table = data[task]
    predict(
        run.out / "runs" / f"{task}_{init}",
        table.path,
        where,
        root=table.root,
        split="test",
        overlap=0.25,
        progress=run.progress,
    )
    return evaluate(where, table.path, root=table.root, split="test")


def _report(
    run: Demo, manifest: Path, problems: list[str], removed: list[dict[str, Any]], data: Mapping[str, Manifest]
) -> Path:
    from medssl.commands.demo_content import gather
    from medssl.reporting.demo_report import build_demo_report

    content = gather(run, manifest, problems, removed, data)
    return build_demo_report(run.out / "report.html", content)


def _answer(run: Demo, report: Path, removed: list[dict[str, Any]]) -> dict[str, Any]:
    table = table_of(run)
    facts = {
        "report": str(report),
        "table": table,
        "seconds": {name: round(value, 1) for name, value in run.seconds.items()},
        "data_wait": {name: found["data_wait"] for name, found in run.runs.items()},
        "removed": removed,
        "peak_memory_mb": round(peak_memory_bytes() / 1e6),
        "phantoms": run.phantoms,
        "commands": list(COMMANDS),
    }
    write_json(run.out / "demo.json", facts)
    rows = [f"  {row['init']:<10} Dice {row['mean_dice']:.3f}   AUC {row['auc']:.3f}" for row in table]
    kind = "made-up phantoms" if run.phantoms else "real scans"
    text = [
        f"Done in {sum(run.seconds.values()):.0f} s on {kind}. So few scans show that it works, not that it helps.",
        *rows,
        f"The page:        {report}",
        f"Runs, weights:   {run.out / 'runs'}",
        f"Predictions:     {run.out / 'predictions'}",
        "The same with your own scans:",
        *(f"  {line}" for line in COMMANDS),
    ]
    return {**facts, "text": text}
