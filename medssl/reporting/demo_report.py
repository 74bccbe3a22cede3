"""The page that ``medssl demo`` ends with: from the scans to the table, in the order in which things happened."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medssl.reporting.body_views import view_strip, views_in_body
from medssl.reporting.curves import Series, curves, series_of
from medssl.reporting.demo_content import DemoContent, PretrainRun
from medssl.reporting.demo_results import add_cost, add_predictions, add_results
from medssl.reporting.gallery import Thumbnail, gallery, kept_and_removed, sentence
from medssl.reporting.page import Cell, Notice, Page, Table
from medssl.reporting.palette import class_colours
from medssl.reporting.plane import upright
from medssl.reporting.run_folder import RunFolder, read_run
from medssl.reporting.run_report import paired, picture_figures
from medssl.reporting.slices import three_planes

FEW = (
    "So few scans show that it works, not that it helps. Every number here rests on a handful of scans and minutes of "
    "training; differences between the methods on this page are noise until many scans say otherwise."
)
PHANTOMS = (
    "The scans are phantoms: nested shapes with textures, drawn by a computer. They exercise every step, but they are "
    "no anatomy, and nothing on this page says anything about patients."
)
FAMILIES = {
    "contrastive": "learns by telling views of one scan from views of others",
    "masked": "learns by filling in cells that were hidden",
    "region": "learns by telling where in the body a view lies",
}
MOST_IN_PLANES = 4
"""Labelled inputs drawn in three planes; all inputs stand in the gallery."""


def build_demo_report(out: str | Path, content: DemoContent) -> Path:
    """Write the demo's page.

    Args:
        out: the page.
        content: what happened; empty parts are left out with a word.

    Returns:
        The path of the page.

    Raises:
        InputError: a run folder does not exist (``run``).
    """
    warnings = [Notice(PHANTOMS)] if content.phantoms else []
    kind = "computer-drawn phantoms" if content.phantoms else "real CT and MR scans"
    lead = f"From {kind} to fine-tuned models{', in the short form' if content.quick else ''}: each step, seen."
    page = Page("What the demo did", lead, _facts(content), [*warnings, Notice(FEW)], "Written by medssl demo.")
    runs = [(run, read_run(run.folder)) for run in content.runs]
    _inputs(page, content)
    _check(page, content)
    _left_out(page, content)
    _pretraining(page, runs)
    _reconstructions(page, runs)
    _views(page, content)
    _similarity(page, runs)
    add_predictions(page, content)
    add_results(page, content)
    add_cost(page, content)
    if content.commands:
        text = "Three commands do the same with your own scans. A recipe is a text file; read it before you run it."
        page.section("The same with your own scans", text, commands=content.commands)
    return page.write(out)


def _facts(content: DemoContent) -> list[tuple[str, str]]:
    cost = content.cost
    facts = [("Scans", f"{len(content.inputs)}, {len(content.left_out)} left out")] if content.inputs else []
    if cost.seconds:
        facts.append(("Time in all", _duration(sum(cost.seconds.values()))))
    if cost.peak_memory_bytes is not None:
        facts.append(("Peak memory", f"{cost.peak_memory_bytes / 1e9:.1f} GB"))
    if cost.data_wait:
        facts.append(("Longest wait for data", f"{100 * max(cost.data_wait.values()):.0f} % of a run"))
    return [*facts, ("Machine", cost.machine)] if cost.machine else facts


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _inputs(page: Page, content: DemoContent) -> None:
    if not content.inputs:
        page.section("The scans", "No scan was handed to this page.")
        return
    labelled = [scan for scan in content.inputs if scan.label is not None and np.any(scan.label)]
    shared = class_colours(content.classes.values())
    text = (
        "Scans come as they are: different organs, scanners, voxel sizes and directions. They are drawn in true "
        "proportions, with the patient's right on the left, as radiologists look at them."
    )
    small = [Thumbnail(s.title, s.image, s.affine, _size(s.image, s.affine), s.modality) for s in content.inputs]
    figures = [gallery(small, "All scans, the middle slice of each in the plane in which it is sharpest.")]
    for scan in labelled[:MOST_IN_PLANES]:
        planes = three_planes(
            scan.image,
            scan.affine,
            caption=sentence(f"{scan.title} with the contours of its labels, where most of them lie"),
            label=scan.label,
            classes=scan.classes or None,
            colours=shared if set(scan.classes.values()) <= set(shared) else None,
            modality=scan.modality,
        )
        figures.append(planes)
    sources = [(scan.title, scan.source) for scan in content.inputs if scan.source]
    tables = [Table(("scan", "source and licence"), sources, "Where the scans come from.")] if sources else []
    page.section("The scans", text, figures, tables)


def _size(image: np.ndarray, affine: np.ndarray) -> str:
    volume = upright(image, affine)
    spacing = " × ".join(f"{side:.3g}" for side in volume.spacing_mm)
    text = f"{' × '.join(str(n) for n in volume.shape)} voxels, {spacing} mm"
    return text.replace(" ×", "\u00a0×").replace("× ", "×\u00a0").replace(" mm", "\u00a0mm")


def _check(page: Page, content: DemoContent) -> None:
    text = (
        "Before anything else the list of scans is checked: files that are missing or cannot be read, labels that do "
        "not fit their image, patients that stand in more than one split."
    )
    if not content.problems:
        page.section("What the check found", f"{text}\n\nIt found no problem.")
        return
    rows: list[tuple[Cell, Cell]] = [(number, problem) for number, problem in enumerate(content.problems, 1)]
    page.section("What the check found", text, tables=[Table(("", "problem"), rows, "Problems, all in one go.")])


def _left_out(page: Page, content: DemoContent) -> None:
    text = (
        "Scans that show nearly the same teach little and weigh twice. Slices are reduced to short fingerprints, and "
        "where the fingerprints of two scans hardly differ, one of the two is left out of pretraining."
    )
    if not content.left_out:
        page.section("What was left out", f"{text}\n\nNo scan was redundant here.")
        return
    pairs = kept_and_removed(content.left_out, "Each scan that was left out, beside the one that stands for it.")
    page.section("What was left out, and why", text, [pairs])


def _pretraining(page: Page, runs: list[tuple[PretrainRun, RunFolder]]) -> None:
    if not runs:
        page.section("Pretraining", "No method was pretrained.")
        return
    kinds = ", ".join(
        f"the {run.family} method ({run.name}) {FAMILIES.get(run.family, 'learns in its own way')}" for run, _ in runs
    )
    text = (
        f"Each method trains on the same scans and sees no label: {kinds}.\n\nEvery method has "
        "a loss of its own, so that their heights cannot be compared; what one looks for is that each falls and "
        "then flattens. Faint lines are single steps, strong lines their moving average."
    )
    panels = {_panel(run): [series_of(folder.rows, "loss")] for run, folder in runs}
    figure = curves(panels, "Loss of each method over its steps.")
    page.section("Pretraining", text, [figure], note=_unlogged(runs))


def _panel(run: PretrainRun) -> str:
    return f"{run.name}, {run.family}"


def _unlogged(runs: list[tuple[PretrainRun, RunFolder]]) -> str | None:
    silent = [run.name for run, folder in runs if not any(row["name"] == "loss" for row in folder.rows)]
    return f"No loss was logged for {', '.join(silent)}." if silent else None


def _reconstructions(page: Page, runs: list[tuple[PretrainRun, RunFolder]]) -> None:
    figures = [figure for _, folder in runs for figure in picture_figures(folder) if figure is not None]
    if not figures:
        page.section("Hidden and rebuilt", "No run saved pictures of what it rebuilt.")
        return
    text = (
        "The masked method sees a scan with most of its cells hidden (hatched) and fills them in. After minutes it "
        "has the brightness and the large shapes; edges and texture come with hours. Only hidden cells count in its "
        "loss."
    )
    page.section("Hidden and rebuilt", text, figures)


def _views(page: Page, content: DemoContent) -> None:
    views = content.views
    if views is None:
        page.section("Views in the body", "The views of no scan were kept.")
        return
    text = (
        "A view is a grid in the body. Because every grid is known in millimetres, how much two views overlap is "
        "arithmetic, and needs no label. Outlines show where each view was taken, at its true size and turn."
    )
    places = views_in_body(
        views.image, views.affine, views.boxes, f"{views.title}, seen through.", modality=views.modality
    )
    strip = view_strip(views.images, "The views as the network sees them, the middle axial slice of each.")
    page.section("Views in the body", text, [places, strip])


def _similarity(page: Page, runs: list[tuple[PretrainRun, RunFolder]]) -> None:
    panels = {_panel(run): list(run.similarity) or _logged_similarity(folder) for run, folder in runs}
    figure = curves(
        panels,
        "Mean cosine similarity of pairs that belong together and of pairs that do not.",
        unit="cosine",
        limits=_range(panels),
    )
    text = (
        "Positives are views that should end up close to each other, negatives those that should not. Learning opens "
        "a gap between the two; if both rise towards 1, everything looks the same to the network and it has collapsed."
    )
    if figure is None:
        page.section("Positives and negatives", f"{text}\n\nNo run logged these similarities.")
        return
    page.section("Positives and negatives", text, [figure])


def _logged_similarity(folder: RunFolder) -> list[Series]:
    """The first pair of numbers for positives and negatives that a run logged."""
    for members in paired(name for name in folder.names if "loss" not in name).values():
        if len(members) == 2:
            return [series_of(folder.rows, name, f"{kind}s", n) for n, (name, kind) in enumerate(_kinds(members))]
    return []


def _range(panels: dict[str, list[Series]]) -> tuple[float, float]:
    """From 0, or the lowest value, to 1, the same for all panels."""
    values = [float(value) for lines in panels.values() for line in lines for value in line.finite()[1]]
    return min([-0.02, *values]), max([1.02, *values])


def _kinds(members: list[str]) -> list[tuple[str, str]]:
    return list(zip(members, ("positive", "negative"), strict=True))
