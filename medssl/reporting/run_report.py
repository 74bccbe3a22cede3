"""The page of one run: its recipe, its numbers over the steps, and its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from medssl.reporting.curves import Series, curves, series_of
from medssl.reporting.health import PREFIX, health_section
from medssl.reporting.page import Cell, Figure, Notice, Page, Table, cell_text
from medssl.reporting.reconstruction import reconstruction, reconstruction_over_time
from medssl.reporting.run_folder import Row, RunFolder, read_run

RUNNING = ("data_wait", "lr", "grad_norm", "gradient_norm", "seconds", "step_seconds", "memory_mb")
"""Numbers about the run itself rather than about what is learned."""


def build_run_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a run folder; pieces that are missing are left out with a word.

    Args:
        folder: the run folder.
        out: the page; ``report.html`` in the run folder without it.

    Returns:
        The path of the page.

    Raises:
        InputError: there is no such folder (``run``).
    """
    run = read_run(folder)
    page = Page(_title(run), f"Run folder {run.path.name}", _facts(run), [Notice(word) for word in run.missing])
    _learning(page, run)
    health_section(page, run)
    _running(page, run)
    _pictures(page, run)
    _settings(page, run)
    return page.write(Path(folder) / "report.html" if out is None else out)


def paired(names: Iterable[str]) -> dict[str, list[str]]:
    """Panels of a run: numbers of positives and of negatives share one, every other number has its own.

    Example:
        >>> paired(["loss", "positive", "negative"])
        {'loss': ['loss'], 'positive and negative': ['positive', 'negative']}
    """
    left = list(dict.fromkeys(names))
    panels: dict[str, list[str]] = {}
    while left:
        name = left.pop(0)
        other = name.replace("positive", "negative")
        if other != name and other in left:
            left.remove(other)
            panels[name.replace("positive", "positive and negative")] = [name, other]
        else:
            panels[name] = [name]
    return panels


def panels_of(rows: Sequence[Row], names: Iterable[str]) -> dict[str, list[Series]]:
    """The series of each panel."""
    return {
        title.replace("_", " "): [series_of(rows, name, name.replace("_", " "), n) for n, name in enumerate(members)]
        for title, members in paired(names).items()
    }


def _title(run: RunFolder) -> str:
    method = run.recipe.get("method.name") or run.recipe.get("method")
    encoder = run.recipe.get("encoder.name") or run.recipe.get("encoder")
    if isinstance(method, str) and isinstance(encoder, str):
        return f"{method} on {encoder}"
    return str(method or run.path.name)


def _facts(run: RunFolder) -> list[tuple[str, str]]:
    facts = []
    if run.rows:
        facts.append(("Steps", cell_text(len({(row["stage"], row["step"]) for row in run.rows}))))
    losses = [row for row in run.rows if row["name"] == "loss"]
    if losses:
        facts.append(("First loss", f"{float(losses[0]['value']):.3g}"))
        facts.append(("Last loss", f"{float(losses[-1]['value']):.3g}"))
    waits = [float(row["value"]) for row in run.rows if row["name"] == "data_wait"]
    share = run.info.get("data_wait", sum(waits) / len(waits) if waits else None)
    if isinstance(share, int | float):
        facts.append(("Waiting for data", f"{100 * share:.0f} %"))
    return facts


def _learning(page: Page, run: RunFolder) -> None:
    if not run.rows:
        page.section("What was learned", "The run has logged no numbers yet.")
        return
    learned = [name for name in run.names if name not in RUNNING and not name.startswith(PREFIX)]
    learned.sort(key=lambda name: name != "loss")
    text = "Faint lines are the values of single steps, strong lines their moving average."
    figures = [curves(panels_of(run.rows, learned), "What the method logged, over the steps of the run.", unit="value")]
    page.section("What was learned", text, figures)


def _running(page: Page, run: RunFolder) -> None:
    logged = [name for name in run.names if name in RUNNING]
    if logged:
        caption = "Learning rate, waiting and size of the gradient, as far as they were logged."
        page.section("How the run went", "", [curves(panels_of(run.rows, logged), caption, unit="value")])


def _pictures(page: Page, run: RunFolder) -> None:
    if not run.pictures:
        return
    figures = picture_figures(run)
    others = sorted({name for found in run.pictures.values() for name in found})
    if not others:
        return
    if not any(figures):
        page.section("Pictures", f"The run saved {', '.join(others)}; there is no input with a rebuilt one to compare.")
        return
    text = (
        "The hatched cells were hidden from the network. What it put there, it had to infer from the rest; only "
        "hidden cells count in its loss."
    )
    page.section("Reconstructions", text, figures)


def picture_figures(run: RunFolder) -> list[Figure | None]:
    """Reconstructions at the last step and over time, None where there are none."""
    if not run.pictures:
        return []
    last = max(run.pictures)
    return [
        reconstruction(
            run.pictures[last], f"Fixed views after step {last}: axial, coronal and sagittal from above to below."
        ),
        reconstruction_over_time(run.pictures, "The same views as training goes on."),
    ]


def _settings(page: Page, run: RunFolder) -> None:
    tables = [
        Table(("setting", "value"), _lines(values), caption)
        for values, caption in ((run.recipe, "The merged recipe."), (run.info, "What the run recorded of itself."))
        if values
    ]
    if tables:
        page.section("Settings", "With the same recipe, scans and seed the run can be made again.", tables=tables)


def _lines(values: dict[str, Any]) -> list[tuple[Cell, Cell]]:
    return [(key, "none" if value is None else str(value)) for key, value in values.items()]
