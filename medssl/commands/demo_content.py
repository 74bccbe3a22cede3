"""What the demo's page shows, gathered from its folders as plain data."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medssl import __version__
from medssl.commands.demo_state import COMMANDS, FAMILIES, Demo, peak_memory_bytes, table_of
from medssl.io.read import read, read_label, read_record, read_record_label
from medssl.manifest import Manifest, Record
from medssl.reporting.demo_content import Cost, DemoContent, InputScan, Prediction, PretrainRun, Result, ScanViews
from medssl.reporting.gallery import Redundant, Thumbnail


def gather(
    run: Demo, manifest: Path, problems: list[str], removed: list[dict[str, Any]], data: Mapping[str, Manifest]
) -> DemoContent:
    """Everything on the page.

    Args:
        run: the demo, all steps done but the last.
        manifest: the scans that it started from.
        problems: what the check of the manifest found.
        removed: what was left out, as ``reduce`` says.
        data: task → its table.
    """
    table = Manifest.read(manifest)
    return DemoContent(
        inputs=[_input(table, record, run.phantoms) for record in table.records],
        problems=problems,
        left_out=[_redundant(table, entry) for entry in removed],
        runs=[PretrainRun(name, family, run.out / "runs" / name) for name, family in FAMILIES.items()],
        views=_views(run),
        predictions=_predictions(run, data["segment"]),
        results=_results(run),
        classes={value: name for value, name in data["segment"].classes.items() if value != 0},
        cost=Cost(
            run.seconds, peak_memory_bytes(), {n: r["data_wait"] for n, r in run.runs.items()}, _machine(), _versions()
        ),
        commands=COMMANDS,
        phantoms=run.phantoms,
        quick=run.quick,
    )


def _title(record: Record) -> str:
    name = Path(record.image).name
    return name.removesuffix(".gz").removesuffix(".nii").removesuffix(".nrrd").replace("_", " ")


def _input(table: Manifest, record: Record, phantoms: bool) -> InputScan:
    volume = read_record(table, record)
    found = read_record_label(table, record, volume)
    label = None if found is None else found.data[0]
    return InputScan(
        title=_title(record),
        image=volume.data,
        affine=volume.affine,
        label=label,
        classes={} if label is None else {value: name for value, name in table.classes.items() if value != 0},
        modality=record.modality,
        source=_origin(record, phantoms),
    )


def _origin(record: Record, phantoms: bool) -> str:
    from medssl.datasets.sample_sources import origin_of

    return "drawn by a computer" if phantoms else origin_of(record.image)


def _redundant(table: Manifest, entry: Mapping[str, Any]) -> Redundant:
    by_image = {record.image: record for record in table.records}
    kept, gone = by_image[entry["kept_image"]], by_image[entry["image"]]
    return Redundant(_thumbnail(table, kept), _thumbnail(table, gone), entry["reason"], entry["distance"], "of 64 bits")


def _thumbnail(table: Manifest, record: Record) -> Thumbnail:
    volume = read_record(table, record)
    return Thumbnail(_title(record), volume.data, volume.affine, modality=record.modality)


def _views(run: Demo) -> ScanViews:
    """The views that VoCo drew of one scan, in its body."""
    import numpy as np

    from medssl import draws
    from medssl.commands.pretrain import PretrainRecipe
    from medssl.encoders.build import build_encoder
    from medssl.plain_yaml import load_yaml
    from medssl.recipe import check
    from medssl.store.store import Store
    from medssl.views.make import make_views
    from medssl.views.scan import scan_of

    recipe = check(PretrainRecipe, load_yaml(run.out / "runs" / "voco" / "recipe.yaml"))
    method = recipe.method.build(build_encoder(recipe.encoder.name, 1, **recipe.encoder.settings))
    store = Store.open(run.out / "store")
    # the largest scan of those that were trained on shows the grid best
    position = max(store.positions("train"), key=lambda n: int(np.prod(scan_of(store, n).shape)))
    drawn = make_views(store, (position,), method.views(recipe.views), draws.generator(run.seed, draws.VIEW))
    scan = scan_of(store, position)
    entry = store.read(position, (0, 0, 0), scan.shape)
    return ScanViews(
        title="the largest training scan, as VoCo sees it",
        image=entry,
        affine=scan.affine,
        boxes={role: [view.grid.box for view in views] for role, views in drawn.items()},
        images={role: np.stack([view.image.numpy() for view in views]) for role, views in drawn.items()},
    )


def _predictions(run: Demo, table: Manifest) -> list[Prediction]:
    found = []
    record = next(record for record in table.select("test").records)
    volume = read_record(table, record)
    path = table.resolve_label(record)
    if path is None:
        return []
    label = read_label(path, like=volume).data[0]
    for init, scores in run.scores.items():
        case = scores["segment"]["cases"][0]
        mask = read(run.out / "predictions" / f"segment_{init}" / f"{case['name']}.nii.gz")
        shown = f"{_title(record)}, from scratch" if init == "scratch" else f"{_title(record)}, from {init}"
        found.append(Prediction(shown, volume.data, volume.affine, label, mask.data[0], case["dice"], record.modality))
    return found


def _results(run: Demo) -> list[Result]:
    return [
        Result(
            "none" if row["init"] == "scratch" else row["init"],
            "from scratch" if row["init"] == "scratch" else "pretrained",
            row["dice"],
            row["auc"],
            row["finetune_seconds"],
        )
        for row in table_of(run)
    ]


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{platform.machine()}, {cores} cores, {memory:.0f} GiB"


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "monai", "pytorch-lightning", "nibabel", "pydicom", "SimpleITK", "numpy")
    return {"medssl": __version__, "python": platform.python_version(), **{name: version(name) for name in names}}
