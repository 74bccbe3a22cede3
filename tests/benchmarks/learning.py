"""Does it learn? A frozen probe of every recipe after a short run, against the same encoder with random weights.

    python -m tests.benchmarks.learning [--methods simclr,spark] [--data textures,hippocampus] [--jobs 2] [--out FOLDER]

Every recipe ``recipes/hippocampus/pretrain_*.yaml`` is run with three seeds on texture phantoms, whose organs differ in
nothing but the arrangement of their values, and on the hippocampus set beside the clone; ``learning_settings.py`` says
what makes the runs short. The probe is fitted on patients of the train split and asked about those of the test split;
random and pretrained weights are asked the same crops, and the interval of their difference is a bootstrap over seeds
and test patients at once (``medssl.evaluation.probe_gain``). Finished runs are kept in ``--out`` and not done again.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import multiprocessing
import platform
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from medssl.atomic import write_text
from medssl.commands.manifest import build_manifest, split_manifest
from medssl.datasets.cards import load_card
from medssl.datasets.texture_set import cached_textures
from medssl.datasets.textures import ORGANS
from medssl.evaluation.probe_gain import gain
from medssl.manifest import Manifest
from medssl.methods import METHODS
from medssl.store.prepare import prepare
from medssl.store.settings import StoreSettings
from tests.benchmarks.learning_runs import Job, answers, finished, run
from tests.benchmarks.learning_settings import recipes

HIPPOCAMPUS = Path(__file__).parents[3] / "shared" / "data" / "hippocampus"


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, print the table, write ``table.md`` and ``table.json``; 1 where a recipe has not learned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", help="names of recipes, with commas; all by default")
    parser.add_argument("--data", default="textures,hippocampus")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="in the place of the usual number")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("learning"))
    args = parser.parse_args(arguments)
    chosen = recipes(args.methods.split(",") if args.methods else None)
    sets = {name: found for name in args.data.split(",") if (found := data_set(name, args.out))}
    jobs = [
        Job(str(path), name, data, **facts, out=str(args.out), seed=seed, steps=args.steps)
        for seed in range(args.seeds)
        for data, facts in sets.items()
        for name, path in chosen.items()
    ]
    rows = table_rows(results(jobs, args.jobs))
    missing = [] if args.methods else sorted(set(METHODS) - {row["method"] for row in rows})
    text = markdown(rows) + "".join(f"| {name} | | | | | | | no recipe | |\n" for name in missing)
    write_text(args.out / "table.json", json.dumps(rows, indent=1) + "\n")
    write_text(args.out / "table.md", text)
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, one thread a run, {args.jobs} side by side\n\n{text}")
    return int(bool(missing) or any(row["verdict"] != "learned" for row in rows))


def data_set(name: str, out: Path) -> dict[str, Any] | None:
    """Manifest, root and store of a data set, prepared; None with a word where it is not there."""
    root: Path | None = None
    if name == "textures":
        path = cached_textures()
        facts = {"classes": tuple(ORGANS), "per_class": 6, "patients": (24, 16)}
    elif name == "hippocampus":
        if not HIPPOCAMPUS.is_dir():
            print("hippocampus is left out: the folder `shared` with real volumes is not beside the clone")
            return None
        path, root = _hippocampus(out), HIPPOCAMPUS
        # what lies around an organ is a class, too
        facts = {"classes": (0, *load_card(name).classes), "per_class": 4, "patients": (60, 40)}
    else:
        raise SystemExit(f"the data sets are textures and hippocampus, got {name!r}")
    manifest = Manifest.read(path, root)
    store = out / f"store_{name}"
    prepare(manifest, store, StoreSettings())
    return {"manifest": str(path), "root": str(manifest.root), "store": str(store), **facts}


def _hippocampus(out: Path) -> Path:
    path = out / "hippocampus.csv"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        build_manifest(HIPPOCAMPUS, out / "hippocampus_all.csv")
        split_manifest(out / "hippocampus_all.csv", path, {"train": 0.7, "test": 0.3}, root=HIPPOCAMPUS)
    return path


def results(jobs: list[Job], side_by_side: int) -> list[dict[str, Any]]:
    """The results of all jobs; those that stand already are not done again."""
    done = {job: found for job in jobs if (found := finished(job))}
    left = [job for job in jobs if job not in done]
    print(f"{len(jobs)} runs, {len(done)} of them finished earlier", flush=True)
    start = time.perf_counter()
    # a process of its own each: torch's threads and Lightning's state do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(side_by_side, mp_context=context, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        futures = {pool.submit(run, job): job for job in left}
        for number, future in enumerate(as_completed(futures), 1):
            job, found = futures[future], future.result()
            done[job] = found
            said = found.get("error") or _accuracies(found)
            passed = time.perf_counter() - start
            print(f"[{number}/{len(left)}, {passed:.0f} s] {job.data} {job.name} seed {job.seed}: {said}", flush=True)
    return [done[job] for job in jobs]


def _end_with(parent: int) -> None:
    """Let a working process end when the one that gave it its work is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _accuracies(found: dict[str, Any]) -> str:
    before, after = (answers(found, found["probe"], when).balanced_accuracy for when in ("random", "trained"))
    return f"{found['probe']} {before:.3f} to {after:.3f}, loss {found['loss']}, {found['seconds']} s"


def table_rows(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each data set and recipe, with both probes; the verdict is that of the method's own."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in found:
        groups.setdefault((one["data"], one["name"]), []).append(one)
    rows = []
    for (data, name), runs in sorted(groups.items()):
        row: dict[str, Any] = {
            "data": data,
            "name": name,
            "method": name,
            "encoder": "",
            "probe": "",
            "seeds": len(runs),
        }
        errors = [one["error"] for one in runs if "error" in one]
        if errors:
            rows.append({**row, "verdict": f"failed: {errors[0]}"})
            continue
        first = runs[0]
        row |= {"method": first["method"], "encoder": first["encoder"]["name"], "probe": first["probe"]}
        for kind in ("pooled", "voxel"):
            sides = [[answers(one, kind, when) for one in runs] for when in ("trained", "random")]
            row[kind] = vars(gain(*sides))
        low, high = (row[row["probe"]][end] for end in ("low", "high"))
        row["verdict"] = "learned" if low > 0 else "worse than random" if high < 0 else "not shown"
        row["seconds"] = round(sum(one["seconds"] for one in runs) / len(runs), 1)
        rows.append(row)
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table for the docs."""
    lines = ["| recipe | encoder | data | probe | random | pretrained | difference | verdict | seconds |"]
    lines.append("|" + "---|" * 9)
    for row in rows:
        cells = [row["name"], row["encoder"], row["data"], row["probe"]]
        if row["probe"]:
            one = row[row["probe"]]
            interval = f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
            cells += [f"{one['before']:.3f}", f"{one['after']:.3f}", interval, row["verdict"], f"{row['seconds']:.0f}"]
        else:
            cells += ["", "", "", row["verdict"], ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
