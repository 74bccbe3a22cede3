"""One short run: pretrain by a recipe with one seed, and probe the encoder before and after."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medssl.atomic import write_text
from medssl.commands.networks import make_encoder
from medssl.commands.pretrain import PretrainRecipe, pretrain
from medssl.commands.runs import checked_recipe
from medssl.encoders.contract import Encoder
from medssl.errors import MedsslError
from medssl.evaluation.probe import Answers, probe
from medssl.evaluation.probe_crops import ProbeCrops, probe_crops
from medssl.evaluation.probe_norms import settle
from medssl.plain_yaml import load_yaml
from medssl.recipe import to_plain
from medssl.store.store import Store
from medssl.weights.coverage import load_into
from medssl.weights.folder import load_weights
from tests.benchmarks.learning_settings import CROP, overrides, probe_of

EDITION = 1
"""Raise it where runs or probes change, so that finished runs are made anew."""

KINDS = ("pooled", "voxel")


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        recipe: path of the recipe.
        name: of the recipe.
        data: name of the data set.
        manifest: its rows, with the splits train and test.
        root: where its files lie.
        store: its prepared scans.
        out: folder of the results.
        seed: of everything.
        steps: in the place of the usual number, or None.
        classes: that the probe tells apart.
        per_class: centres of each class and scan that the probe looks at.
        patients: for the probe, of train and of test.
    """

    recipe: str
    name: str
    data: str
    manifest: str
    root: str
    store: str
    out: str
    seed: int
    steps: int | None
    classes: tuple[int, ...]
    per_class: int
    patients: tuple[int, int]

    def words(self) -> list[str]:
        """The overrides of the recipe, without those that only say where files lie."""
        encoder = str(load_yaml(Path(self.recipe))["encoder"]["name"])
        return [*overrides(self.name, encoder, self.steps), "data.split=train", f"seed={self.seed}"]

    def digest(self) -> str:
        """Of all that decides the result."""
        text = Path(self.recipe).read_text(encoding="utf-8")
        kept = {key: value for key, value in asdict(self).items() if key not in ("recipe", "out", "store", "root")}
        what = json.dumps([EDITION, text, self.words(), kept, list(CROP)], default=str)
        return hashlib.sha256(what.encode()).hexdigest()[:16]

    def result(self) -> Path:
        """Where the result stands."""
        return Path(self.out) / "results" / f"{self.data}-{self.name}-{self.seed}.json"


def finished(job: Job) -> dict[str, Any] | None:
    """The result of an earlier call with the same settings, unless it failed."""
    try:
        found: dict[str, Any] = json.loads(job.result().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("digest") == job.digest() and "error" not in found else None


def run(job: Job) -> dict[str, Any]:
    """Do a run and write its result; an error that a user would see is a result, too."""
    torch.set_num_threads(1)
    facts = {"digest": job.digest(), "name": job.name, "data": job.data, "seed": job.seed}
    start = time.perf_counter()
    try:
        found = {**facts, **_run(job)}
    except MedsslError as error:
        found = {**facts, "error": error.line()}
    found["seconds"] = round(time.perf_counter() - start, 1)
    job.result().parent.mkdir(parents=True, exist_ok=True)
    write_text(job.result(), json.dumps(found) + "\n")
    return found


def answers(found: dict[str, Any], kind: str, when: str) -> Answers:
    """What a result says of a probe; ``when`` is ``random`` or ``trained``."""
    one = found["probes"][kind]
    return Answers(*(np.asarray(one[key]) for key in (when, "truth", "patients")))


def _run(job: Job) -> dict[str, Any]:
    out = Path(job.out) / "runs" / f"{job.data}-{job.name}-{job.seed}"
    shutil.rmtree(out, ignore_errors=True)
    where = {"out": str(out), "data.manifest": job.manifest, "data.root": job.root, "data.store": job.store}
    quiet = ["keep.tensorboard=false", "keep.pictures_every=0", "keep.checkpoint_every=1000000"]
    words = [*(f"{key}={value}" for key, value in where.items()), *quiet, *job.words()]
    asked = checked_recipe(PretrainRecipe, job.recipe, words)
    took = pretrain(asked)
    crops = _crops(job.store, job.classes, job.per_class, job.patients)
    probes: dict[str, dict[str, Any]] = {}
    for when in ("random", "trained"):
        encoder = make_encoder(asked.encoder, crops[0].images.shape[1], asked.views.crop, asked.seed)
        if when == "trained":
            load_into(encoder, load_weights(out).encoder, minimum=1.0)
        for kind, found in _probed(encoder, crops).items():
            both = {"truth": found.truth.tolist(), "patients": found.patients.tolist()}
            probes.setdefault(kind, both)[when] = found.predicted.tolist()
    losses = _losses(out / "metrics.csv")
    shutil.rmtree(out)
    return {
        "method": asked.method.name,
        "encoder": to_plain(asked.encoder),
        "probe": probe_of(job.name, asked.method.name),
        "probes": probes,
        "training_seconds": took["seconds"],
        "data_wait": took["data_wait"],
        "loss": losses,
        "notes": took["notes"],
    }


def _probed(encoder: Encoder, crops: tuple[ProbeCrops, ProbeCrops]) -> dict[str, Answers]:
    settle(encoder, crops[0].images)
    return {kind: probe(encoder, *crops, kind) for kind in KINDS}  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def _crops(
    path: str, classes: tuple[int, ...], per_class: int, patients: tuple[int, int]
) -> tuple[ProbeCrops, ProbeCrops]:
    """The same crops for every run of a data set."""
    store = Store.open(path)
    train, test = (
        probe_crops(store.subset(store.positions(split)[:count]), CROP, classes, per_class=per_class)
        for split, count in zip(("train", "test"), patients, strict=True)
    )
    return train, test


def _losses(path: Path) -> list[float]:
    """Means of the first and of the last tenth of the steps."""
    with path.open(encoding="utf-8", newline="") as file:
        values = [float(row["loss"]) for row in csv.DictReader(file) if row.get("loss")]
    tenth = max(1, len(values) // 10)
    return [round(float(np.mean(part)), 4) for part in (values[:tenth], values[-tenth:])]
