"""The last part of the demo's page: predictions, the table, time and memory."""

from __future__ import annotations

import numpy as np

from medssl.reporting.curves import Estimate, estimates
from medssl.reporting.demo_content import DemoContent
from medssl.reporting.page import Cell, Figure, Page, Table
from medssl.reporting.palette import class_colours, readable
from medssl.reporting.slices import three_planes


def add_predictions(page: Page, content: DemoContent) -> None:
    """Predictions over labels, in three planes."""
    if not content.predictions:
        page.section("Predictions against labels", "Nothing was predicted.")
        return
    text = (
        "Scans that no model was trained on. The prediction (dashed) is brought back to the scan's own geometry and "
        "lies over the label (solid); where the two lines run together, they agree."
    )
    colours = class_colours(content.classes.values())
    figures: list[Figure] = []
    for case in content.predictions:
        scores = ", ".join(f"{readable(name)} {value:.2f}" for name, value in case.dice.items() if np.isfinite(value))
        figures.append(
            three_planes(
                case.image,
                case.affine,
                caption=f"{case.case}.{f' Dice: {scores}.' if scores else ''}",
                label=case.label,
                prediction=case.prediction,
                classes=content.classes or None,
                colours=colours or None,
                modality=case.modality,
            )
        )
    page.section("Predictions against labels", text, figures)


def add_results(page: Page, content: DemoContent) -> None:
    """Dice and AUC from each set of weights and from scratch."""
    if not content.results:
        page.section("The table", "No model was fine-tuned.")
        return
    names = list(dict.fromkeys(name for row in content.results for name in row.dice))
    columns = ("method", "start", *(readable(name) for name in names), "mean Dice", "AUC", "seconds")
    rows: list[tuple[Cell, ...]] = [
        (
            r.method,
            r.init.replace(" ", "\u00a0"),
            *(r.dice.get(name) for name in names),
            r.mean_dice,
            r.auc,
            r.seconds,
        )
        for r in content.results
    ]
    marks = [
        Estimate(
            f"{r.method}, {r.init}", r.mean_dice, points=tuple(v for v in r.dice.values() if np.isfinite(v)), colour=n
        )
        for n, r in enumerate(content.results)
    ]
    figure = estimates(marks, "Mean Dice of each start (large) and of its classes (small).", unit="Dice", limits=(0, 1))
    text = (
        "The same segmentation and classification heads, trained for the same number of steps from each set of "
        "weights and from scratch. Dice is 1 where prediction and label are the same and 0 where they share nothing; "
        "an AUC of 0.5 is chance. A dash stands where there was nothing to measure."
    )
    table = Table(columns, rows, "Dice of each class and their mean, AUC of the classification, time of fine-tuning.")
    page.section("The table", text, [figure], [table], note="Too few scans for an interval: do not rank the rows.")


def add_cost(page: Page, content: DemoContent) -> None:
    """What each step took, and on which machine."""
    cost = content.cost
    tables = []
    if cost.seconds:
        lines: list[tuple[Cell, Cell]] = [*cost.seconds.items(), ("in all", sum(cost.seconds.values()))]
        tables.append(Table(("step", "seconds"), lines, "Time of each step."))
    if cost.data_wait:
        shares: list[tuple[Cell, Cell]] = [(name, 100 * share) for name, share in cost.data_wait.items()]
        tables.append(Table(("run", "% of time"), shares, "Time that training spent waiting for data."))
    if cost.versions:
        tables.append(Table(("package", "version"), list(cost.versions.items()), "What it ran with."))
    memory = (
        "" if cost.peak_memory_bytes is None else f"At most {cost.peak_memory_bytes / 1e9:.2f} GB were in use at once."
    )
    machine = f"The machine: {cost.machine}." if cost.machine else ""
    text = f"{machine} {memory}".strip() or "Time and memory were not measured."
    page.section("Time and memory", text, tables=tables)
