"""Verbs on manifests: manifest build, check, split."""

from __future__ import annotations

from pathlib import Path

import typer

from medssl.verbs import readable
from medssl.verbs.answers import JSON, ROOT, answer, progressing

MANIFEST = typer.Argument(..., metavar="MANIFEST", help="A manifest (.csv).")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    group = typer.Typer(help="Make, validate and split manifests.", no_args_is_help=True)
    group.command()(build)
    group.command()(check)
    group.command()(split)
    app.add_typer(group, name="manifest")


def build(
    folder: Path = typer.Argument(..., metavar="DIR", help="A folder of scans."),
    out: Path = typer.Argument(..., metavar="OUT", help="The manifest to write (.csv)."),
    layout: str | None = typer.Option(
        None, "--layout", metavar="NAME", help="decathlon, nnunet, bids, paired or loose; recognised without it."
    ),
    each_volume: bool = typer.Option(False, "--each-volume", help="A row for each volume of a 4D file."),
    sha256: bool = typer.Option(False, "--sha256", help="Write each image file's checksum, to be verified later."),
    json: bool = JSON,
) -> None:
    """Make a manifest of a folder of scans.

    DICOM trees, BIDS, Decathlon, nnU-Net and images/labels layouts are recognised. The paths start from the folder
    of the manifest where that holds the scans, otherwise from DIR. What becomes no row is told with its reason.
    """
    from medssl.commands.manifest import build_manifest

    with progressing() as progress:
        result = build_manifest(folder, out, layout=layout, each_volume=each_volume, sha256=sha256, progress=progress)
    answer(result, json, readable.of_manifest(result))


def check(
    manifest: Path = MANIFEST,
    root: Path | None = ROOT,
    deep: bool = typer.Option(
        True, "--deep/--quick", help="Read every scan and label, or only look at rows, paths and byte copies."
    ),
    workers: int | None = typer.Option(None, "--workers", min=1, metavar="N", help="Threads that read; a few, else."),
    json: bool = JSON,
) -> None:
    """Find every problem of a manifest in one run.

    Exit code 3 where there is one. Warnings are told and do not count.
    """
    from medssl.commands.manifest import check_manifest
    from medssl.errors import CheckError

    with progressing() as progress:
        result = check_manifest(manifest, root=root, deep=deep, workers=workers, progress=progress)
    answer(result, json, readable.of_check(result))
    if result["lines"]:
        missing = sum("is missing" in line for line in result["lines"])
        hint = "do the paths start from another folder? Give it with --root" if missing >= result["rows"] else None
        count = len(result["lines"])
        raise CheckError(f"{count} problem{'s' * (count > 1)} in the manifest", path=str(manifest), hint=hint)


def split(
    manifest: Path = MANIFEST,
    out: Path = typer.Argument(..., metavar="OUT", help="The manifest to write."),
    root: Path | None = ROOT,
    shares: str | None = typer.Option(
        None, "--shares", metavar="NAME=SHARE,…", help="Splits and their shares, else train=0.7,val=0.1,test=0.2."
    ),
    folds: int | None = typer.Option(
        None, "--folds", metavar="K", help="Write K folds into `fold`; the split test takes no part."
    ),
    stratify: list[str] = typer.Option(
        [], "--stratify", metavar="COLUMN", help="Hold the shares in each group of a column; may be repeated."
    ),
    exact: bool = typer.Option(False, "--exact", help="Hold the shares to within one patient."),
    keep: bool = typer.Option(False, "--keep", help="Patients who have a split keep it; new ones fill the shares."),
    link: list[str] = typer.Option([], "--link", metavar="WHAT", help="Keep ids together by study or by copies."),
    seed: int = typer.Option(0, "--seed", metavar="N", help="Another seed gives other splits."),
    json: bool = JSON,
) -> None:
    """Split a manifest by patient.

    Seeded, and stable: nobody moves when patients are added, and the shares hold on average. With --exact or
    --stratify they hold exactly, and a few patients at the borders move, unless --keep is given.
    """
    from medssl.commands.manifest import split_manifest

    result = split_manifest(
        manifest,
        out,
        _fractions(shares) if shares is not None else None,
        seed=seed,
        root=root,
        folds=folds,
        stratify=stratify,
        exact=exact,
        keep=keep,
        link=link,
    )
    answer(result, json, readable.of_split(result))


def _fractions(shares: str) -> dict[str, float]:
    from medssl.errors import UsageError

    fractions: dict[str, float] = {}
    for part in shares.split(","):
        name, _, value = part.partition("=")
        try:
            fractions[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"expected name=share,…, got {shares!r}", path="--shares") from None
    return fractions
