"""Verbs that train and use models: demo, prepare, preview, pretrain, finetune, predict, evaluate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from medssl.verbs import readable
from medssl.verbs.answers import JSON, OVERRIDES, ROOT, SPLIT, answer, progressing

RECIPE = typer.Argument(..., metavar="RECIPE", help="A file (.yaml), or a name of `medssl recipe list`.")
RESUME = typer.Option(False, "--resume", help="Go on with the run folder where it stopped.")
CACHE = typer.Option(
    False, "--cache-optional", help="Where the store cannot be written, keep the prepared scans in memory."
)


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (demo, prepare, preview, pretrain, finetune, predict, evaluate, report):
        app.command()(verb)


def demo(
    out: Path = typer.Option(Path("medssl-demo"), "--out", metavar="DIR", help="Where everything goes."),
    quick: bool = typer.Option(False, "--quick", help="Fewer steps: at most 90 seconds."),
    phantoms: bool = typer.Option(False, "--phantoms", help="Made-up anatomy instead of real scans; no network."),
    seed: int = typer.Option(0, "--seed", metavar="N", help="Decides every draw."),
    json: bool = JSON,
) -> None:
    """Go the whole path on small real scans, in minutes.

    Fetch, check, leave redundant scans out, prepare, pretrain by three methods, fine-tune, predict, write a page.
    """
    from medssl.commands.demo import demo as run

    with progressing() as progress:
        result = run(out, quick=quick, phantoms=phantoms, seed=seed, progress=progress)
    answer(result, json, result["text"])


def prepare(
    manifest: Path = typer.Argument(..., metavar="MANIFEST", help="A manifest (.csv)."),
    store: Path = typer.Argument(..., metavar="STORE", help="The folder to write; what is there and sound is kept."),
    recipe: str | None = typer.Argument(
        None, metavar="[RECIPE]", help="Takes the settings from a recipe's section `data` instead of the options."
    ),
    root: Path | None = ROOT,
    spacing: str | None = typer.Option(
        None, "--spacing", metavar="MM", help="1.5 or 1,1,3 or median, else each scan's own."
    ),
    window: str | None = typer.Option(None, "--window", metavar="LOW,HIGH", help="HU window of CT: -175,250."),
    zscore: float | None = typer.Option(
        None, "--zscore", metavar="N", help="Mean ∓ N standard deviations become 0 and 1, not percentiles."
    ),
    n4: bool = typer.Option(False, "--n4", help="Correct the bias field of MR first."),
    suv: bool = typer.Option(False, "--suv", help="Read PET in uptake values (SUV by body weight)."),
    jobs: int | None = typer.Option(
        None, "--jobs", min=1, metavar="N", help="Processes; by default as many as cores and memory allow."
    ),
    verify: Literal["quick", "full"] = typer.Option(
        "quick", "--verify", help="quick trusts sizes and times of files; full reads every source again."
    ),
    continue_on_error: bool = typer.Option(False, "--continue-on-error", help="Set refused scans aside; exit code 1."),
    max_bad: float | None = typer.Option(
        None, "--max-bad", min=0, max=1, metavar="SHARE", help="Of scans that may be set aside; 0.1 (or one scan)."
    ),
    json: bool = JSON,
) -> None:
    """Do the deterministic part of loading once.

    Orientation, spacing, intensity range and body of every scan, into a store that training reads box by box. A run
    that was stopped goes on where it was.
    """
    from medssl.commands.prepare import prepare as run

    with progressing() as progress:
        result = run(
            manifest,
            store,
            root=root,
            spacing_mm=_spacing(spacing),
            window_hu=_window(window),
            zscore=zscore,
            n4=n4,
            suv=suv,
            recipe=recipe,
            jobs=jobs,
            verify=verify,
            continue_on_error=continue_on_error,
            max_bad=max_bad,
            progress=progress,
        )
    answer(result, json, readable.of_preparation(result))


def preview(
    recipe: str = RECIPE,
    overrides: list[str] | None = OVERRIDES,
    out: Path = typer.Option(Path("preview.html"), "--out", metavar="PAGE", help="The page to write (.html)."),
    samples: int = typer.Option(2, "--samples", min=1, metavar="N", help="Samples of each stage."),
    step: int = typer.Option(0, "--step", min=0, metavar="N", help="Which step's draws are shown."),
    crop: str | None = typer.Option(
        None, "--crop", metavar="POLICY", help="Crops in the method's place: slices or '{name: partitions, parts: 3}'."
    ),
    mask: str | None = typer.Option(
        None, "--mask", metavar="POLICY", help="Masks likewise: tubes or '{name: blocks, ratio: 0.5, draws: 2}'."
    ),
    json: bool = JSON,
) -> None:
    """Look at a recipe's views before training.

    Draws what a step would see: the views where they lie in the body, as sampled, after augmentation and with their
    masks, as one page. Nothing is trained.
    """
    from medssl.commands.preview import preview as run

    with progressing() as progress:
        result = run(
            recipe, overrides or (), out=out, samples=samples, step=step, crop=crop, mask=mask, progress=progress
        )
    answer(result, json, readable.of_preview(result))


def pretrain(
    recipe: Path = RECIPE,
    overrides: list[str] | None = OVERRIDES,
    resume: bool = RESUME,
    cache_optional: bool = CACHE,
    json: bool = JSON,
) -> None:
    """Pretrain an encoder without labels.

    Writes a run folder: recipe, checkpoints, weights, metrics, pictures. Ctrl-C saves first; --resume goes on.
    """
    from medssl.commands.pretrain import pretrain as run

    with progressing() as progress:
        result = run(recipe, _with_cache(overrides, cache_optional), resume=resume, progress=progress)
    answer(result, json, readable.of_training(result))


def finetune(
    recipe: Path = RECIPE,
    overrides: list[str] | None = OVERRIDES,
    resume: bool = RESUME,
    cache_optional: bool = CACHE,
    json: bool = JSON,
) -> None:
    """Fine-tune a head and its encoder.

    From weights (init=FOLDER) or from scratch. Writes a run folder as pretrain does; its weights can predict.
    """
    from medssl.commands.finetune import finetune as run

    with progressing() as progress:
        result = run(recipe, _with_cache(overrides, cache_optional), resume=resume, progress=progress)
    answer(result, json, readable.of_training(result))


def _with_cache(overrides: list[str] | None, optional: bool) -> list[str]:
    return [*(overrides or ()), *(["data.cache_optional=true"] if optional else [])]


def predict(
    weights: Path = typer.Argument(..., metavar="WEIGHTS", help="A fine-tuned run or its weights folder."),
    scans: Path = typer.Argument(..., metavar="SCANS", help="A scan, a DICOM folder or a manifest (.csv)."),
    out: Path = typer.Argument(..., metavar="OUT", help="Folder for the masks."),
    root: Path | None = ROOT,
    split: str | None = SPLIT,
    overlap: float = typer.Option(
        0.5, "--overlap", min=0.0, max=0.95, metavar="SHARE", help="How much of a window the next one covers again."
    ),
    continue_on_error: bool = typer.Option(False, "--continue-on-error", help="Set refused scans aside; exit code 1."),
    json: bool = JSON,
) -> None:
    """Predict masks or classes of scans.

    Masks come out in each scan's own geometry, as .nii.gz.
    """
    from medssl.commands.predict import predict as run

    with progressing() as progress:
        result = run(
            weights,
            scans,
            out,
            root=root,
            split=split,
            overlap=overlap,
            continue_on_error=continue_on_error,
            progress=progress,
        )
    answer(result, json, readable.of_predictions(result))


def evaluate(
    predictions: Path = typer.Argument(..., metavar="PREDICTIONS", help="Folder that `medssl predict` wrote."),
    manifest: Path = typer.Argument(..., metavar="MANIFEST", help="The manifest with the labels (.csv)."),
    root: Path | None = ROOT,
    split: str | None = SPLIT,
    json: bool = JSON,
) -> None:
    """Compare predictions with labels.

    Metrics by class and case, with 95 % intervals over patients.
    """
    from medssl.commands.evaluate import evaluate as run

    with progressing() as progress:
        result = run(predictions, manifest, root=root, split=split, progress=progress)
    answer(result, json, readable.of_evaluation(result))


def report(
    run_folder: Path = typer.Argument(..., metavar="RUN", help="A run folder."),
    out: Path | None = typer.Option(
        None, "--out", metavar="FILE", help="The page; by default report.html in the run folder."
    ),
    json: bool = JSON,
) -> None:
    """Write one HTML page about a run."""
    from medssl.commands.report import report as run

    result = run(run_folder, out)
    answer(result, json, [f"written  {result['written']} ({result['bytes'] // 1000} kB, self-contained)"])


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
