"""Small made-up runs and contents for the tests of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from medssl.datasets.phantoms import phantom
from medssl.draws import generator
from medssl.reporting.demo_content import Cost, DemoContent, InputScan, Prediction, PretrainRun, Result, ScanViews
from medssl.reporting.gallery import Redundant, Thumbnail
from medssl.views.grid import Grid, about_centre

CLASSES = {1: "solid_organs", 2: "digestive_tract", 3: "heart_vessels", 4: "bones", 5: "muscles"}


def parse_svg(svg: str | bytes) -> ElementTree.Element:
    """The tree of a picture of our own making."""
    return ElementTree.fromstring(svg)  # noqa: S314  nothing in it comes from outside


def masked_pictures(steps: int = 1) -> dict[str, np.ndarray]:
    """Input, masked and rebuilt of two views of 8³ voxels with hidden cells of 4³."""
    rng = generator(3)
    view = rng.random((2, 1, 8, 8, 8)).astype(np.float32) + 0.5
    hidden = np.zeros((2, 1, 2, 2, 2), dtype=bool)
    hidden[:, :, 0] = True
    wide = hidden.repeat(4, 2).repeat(4, 3).repeat(4, 4)
    rebuilt = np.where(wide, view.mean() + 1 / steps, view).astype(np.float32)
    return {"input": view, "masked": np.where(wide, np.float32(0), view), "rebuilt": rebuilt}


def write_run(folder: Path, method: str, pictures: bool = False) -> Path:
    """A run folder as training leaves it."""
    (folder / "pictures").mkdir(parents=True)
    recipe = f"out: {folder.name}\nmethod: {{name: {method}}}\nencoder: {{name: resnet, depth: 10}}\ninit: null\n"
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (folder / "run.json").write_text('{"steps": 40, "data_wait": 0.07, "notes": ["a", "b"]}', encoding="utf-8")
    noise = generator(1).normal(0, 0.1, 40)
    lines = ["step,stage,loss,similarity_positive,similarity_negative,data_wait"]
    lines += [f"{n},main,{2 * np.exp(-n / 20) + noise[n]},{0.5 + n / 100},{0.4 - n / 200},0.05" for n in range(40)]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if pictures:
        for step in (20, 40):
            arrays = {f"picture.{name}": array for name, array in masked_pictures(step).items()}
            np.savez(folder / "pictures" / f"main-{step:08d}.npz", **arrays, **{"views.view.box": np.zeros((2, 15))})
    return folder


def demo_content(folder: Path) -> DemoContent:
    """Everything that the page can show, from phantoms."""
    scan, label = phantom(0, 1, "CT", (9.0, 9.0, 9.0), (40, 36, 32))
    other, _ = phantom(0, 2, "MR", (8.0, 8.0, 12.0), (32, 32, 20))
    image, affine = scan.data, scan.affine
    place = affine.copy()
    place[:3, 3] = affine[:3, :3] @ [10, 10, 10] + affine[:3, 3]
    turn = about_centre(np.array([[0.8, 0.0, -0.6], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]]), (12, 12, 12))
    base, query = Grid.of((12, 12, 12), place), Grid.of((12, 12, 12), place).then(turn)
    crop = image[:, 10:22, 10:22, 10:22][None].astype(np.float32)
    small = [Thumbnail(name, image, affine, modality="CT") for name in ("phantom 1", "phantom 1 again")]
    moved = np.roll(label.data[0], 1, axis=0)
    dice = dict.fromkeys(CLASSES.values(), 0.5) | {"muscles": float("nan")}
    return DemoContent(
        inputs=[
            InputScan("phantom 1", image, affine, label.data[0], CLASSES, "CT", "drawn by a computer"),
            InputScan("phantom 2", other.data, other.affine, modality="MR"),
        ],
        problems=["row 2: the label has another shape than the image"],
        left_out=[Redundant(small[0], small[1], "every slice is the same", 0, "of 64 bits")],
        runs=[
            PretrainRun(name, family, write_run(folder / name, name, pictures=family == "masked"))
            for name, family in (("simclr", "contrastive"), ("mae", "masked"), ("voco", "region"))
        ],
        views=ScanViews("phantom 1", image, affine, {"base": [base], "query": [query]}, {"base": crop, "query": crop}),
        predictions=[Prediction("phantom 1, from voco", image, affine, label.data[0], moved, dice, "CT")],
        results=[Result("voco", "pretrained", dice, 0.75, 12.0), Result("none", "from scratch", dice, None, 11.5)],
        classes=CLASSES,
        cost=Cost({"prepare the store": 2.0, "pretrain": 61.0}, 2_900_000_000, {"voco": 0.07}, "2 cores"),
        commands=["medssl demo"],
        phantoms=True,
        quick=True,
    )


def write_health(folder: Path, warnings: Sequence[str] = ()) -> Path:
    """The same run folder, looked at in steps 0, 10, 20 and 30."""
    path = folder / "metrics.csv"
    names = ("rank", "rank_centred", "embedding_spread", "alignment", "positive", "same_patient", "other_patient")
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    lines = [",".join([head, *(f"health_{name}" for name in names)])]
    for step, row in enumerate(rows):
        values = [f"{(n + 1) * (1 - step / 300)}" if step % 10 == 0 else "" for n in range(len(names))]
        lines.append(",".join([row, *values]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    places = {"positive": (30, 34), "same_patient": (24, 27), "other_patient": (20, 18)}
    arrays = {}
    for kind, (early, late) in places.items():
        arrays[kind] = np.zeros((4, 40), dtype=np.int64)
        arrays[kind][:2, early] = arrays[kind][2:, late] = 5
    told = {"warnings": np.array(list(warnings), dtype=np.str_)} if warnings else {}
    steps = np.arange(0, 40, 10)
    np.savez_compressed(folder / "health.npz", step=steps, stage=np.array(["main"] * 4), **arrays, **told)
    return folder
