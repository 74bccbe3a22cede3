"""Verbs that train and use models: demo, prepare, pretrain, finetune, predict, evaluate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from medssl.verbs.answers import JSON, answer, progressing

OVERRIDES = typer.Argument(None, help="key.path=value, as many as needed.", metavar="[key.path=value ...]")
RESUME = typer.Option(False, "--resume", help="Go on with the run folder where it stopped.")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (demo, prepare, pretrain, finetune, predict, evaluate, report):
        app.command()(verb)


def demo(
    out: Path = typer.Option(Path("medssl-demo"), "--out", help="Where everything goes."),
    quick: bool = typer.Option(False, "--quick", help="Fewer steps: at most 90 seconds."),
    phantoms: bool = typer.Option(False, "--phantoms", help="Made-up anatomy instead of real scans; no network."),
    seed: int = typer.Option(0, "--seed", help="The run's seed."),
    json: bool = JSON,
) -> None:
    """Small real scans: reduce, pretrain, fine-tune, predict and report, in minutes."""
    from medssl.commands.demo import demo as run

    with progressing() as progress:
        result = run(out, quick=quick, phantoms=phantoms, seed=seed, progress=progress)
    answer(result, json, *result["text"])


def prepare(
    manifest: Path = typer.Argument(..., help="A manifest (.csv)."),
    store: Path = typer.Argument(..., help="The store to write."),
    root: Path | None = typer.Option(None, "--root", help="Folder that the manifest's paths start from."),
    spacing: str | None = typer.Option(None, "--spacing", help="Millimetres: 1.5 or 1,1,3 or median; else as it is."),
    window: str | None = typer.Option(None, "--window", help="HU window of CT, for example -175,250."),
    jobs: int = typer.Option(1, "--jobs", min=1, help="Processes."),
    continue_on_error: bool = typer.Option(False, "--continue-on-error", help="Set failing scans aside."),
    json: bool = JSON,
) -> None:
    """Do the deterministic part once: orientation, spacing, intensity, body, into the store."""
    from medssl.commands.prepare import prepare as run

    with progressing() as progress:
        result = run(
            manifest,
            store,
            root=root,
            spacing_mm=_spacing(spacing),
            window_hu=_window(window),
            jobs=jobs,
            continue_on_error=continue_on_error,
            progress=progress,
        )
    answer(result, json)


def pretrain(
    recipe: Path = typer.Argument(..., help="A recipe (.yaml), or the name of one in `medssl recipe list`."),
    overrides: list[str] | None = OVERRIDES,
    resume: bool = RESUME,
    json: bool = JSON,
) -> None:
    """Pretrain an encoder without labels; writes a run folder."""
    from medssl.commands.pretrain import pretrain as run

    with progressing() as progress:
        result = run(recipe, overrides or (), resume=resume, progress=progress)
    answer(result, json)


def finetune(
    recipe: Path = typer.Argument(..., help="A recipe (.yaml), or the name of one in `medssl recipe list`."),
    overrides: list[str] | None = OVERRIDES,
    resume: bool = RESUME,
    json: bool = JSON,
) -> None:
    """Fine-tune a head and its encoder, from weights or from scratch; writes a run folder."""
    from medssl.commands.finetune import finetune as run

    with progressing() as progress:
        result = run(recipe, overrides or (), resume=resume, progress=progress)
    answer(result, json)


def predict(
    weights: Path = typer.Argument(..., help="A fine-tuned run or its weights folder."),
    scans: Path = typer.Argument(..., help="A scan, a DICOM folder or a manifest (.csv)."),
    out: Path = typer.Argument(..., help="Folder for the masks."),
    root: Path | None = typer.Option(None, "--root", help="Folder that the manifest's paths start from."),
    split: str | None = typer.Option(None, "--split", help="Only the rows of this split."),
    overlap: float = typer.Option(0.5, "--overlap", min=0.0, max=0.95, help="Overlap of the windows."),
    json: bool = JSON,
) -> None:
    """Predict in each scan's own geometry."""
    from medssl.commands.predict import predict as run

    with progressing() as progress:
        result = run(weights, scans, out, root=root, split=split, overlap=overlap, progress=progress)
    answer(result, json)


def evaluate(
    predictions: Path = typer.Argument(..., help="Folder that `medssl predict` wrote."),
    manifest: Path = typer.Argument(..., help="The manifest with the labels."),
    root: Path | None = typer.Option(None, "--root", help="Folder that the manifest's paths start from."),
    split: str | None = typer.Option(None, "--split", help="Only the rows of this split."),
    json: bool = JSON,
) -> None:
    """Compare predictions with labels: metrics by class and case, with intervals."""
    from medssl.commands.evaluate import evaluate as run

    answer(run(predictions, manifest, root=root, split=split), json)


def report(
    run_folder: Path = typer.Argument(..., metavar="RUN", help="A run folder."),
    out: Path | None = typer.Option(None, "--out", help="The page; by default report.html in the run folder."),
    json: bool = JSON,
) -> None:
    """Write one self-contained HTML page about a run."""
    from medssl.commands.report import report as run

    answer(run(run_folder, out), json)


def _spacing(text: str | None) -> tuple[float, float, float] | Literal["median"] | None:
    if text is None:
        return None
    if text == "median":
        return "median"
    numbers = _numbers(text, "--spacing", (1, 3))
    i, j, k = numbers * 3 if len(numbers) == 1 else numbers
    return i, j, k


def _window(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    low, high = _numbers(text, "--window", (2,))
    return low, high


def _numbers(text: str, option: str, counts: tuple[int, ...]) -> list[float]:
    from medssl.errors import UsageError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        wanted = " or ".join(str(count) for count in counts)
        raise UsageError(f"expected {wanted} numbers with commas between, got {text!r}", path=option)
    return numbers
