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
    json: bool = JSON,
) -> None:
    """Make a manifest of a folder of scans.

    Decathlon, nnU-Net and DICOM layouts are recognised. The paths start from the folder of the manifest where that
    holds the scans, otherwise from DIR.
    """
    from medssl.commands.manifest import build_manifest

    with progressing() as progress:
        result = build_manifest(folder, out, progress=progress)
    answer(result, json, readable.of_manifest(result))


def check(
    manifest: Path = MANIFEST,
    root: Path | None = ROOT,
    deep: bool = typer.Option(False, "--deep", help="Read every voxel and label too."),
    json: bool = JSON,
) -> None:
    """Find every problem of a manifest in one run.

    Exit code 3 where there is one. Warnings are told and do not count.
    """
    from medssl.commands.manifest import check_manifest
    from medssl.errors import CheckError

    with progressing() as progress:
        result = check_manifest(manifest, root=root, deep=deep, progress=progress)
    answer(result, json, readable.of_check(result))
    if result["lines"]:
        missing = sum("is missing" in line for line in result["lines"])
        hint = "do the paths start from another folder? Give it with --root" if missing == result["rows"] else None
        count = len(result["lines"])
        raise CheckError(f"{count} problem{'s' * (count > 1)} in the manifest", path=str(manifest), hint=hint)


def split(
    manifest: Path = MANIFEST,
    out: Path = typer.Argument(..., metavar="OUT", help="The manifest to write."),
    root: Path | None = ROOT,
    shares: str = typer.Option(
        "train=0.7,val=0.1,test=0.2", "--shares", metavar="NAME=SHARE,…", help="Splits and their shares."
    ),
    seed: int = typer.Option(0, "--seed", metavar="N", help="Another seed gives other splits."),
    json: bool = JSON,
) -> None:
    """Split a manifest by patient.

    Seeded, and stable: nobody moves when patients are added. The shares hold on average.
    """
    from medssl.commands.manifest import split_manifest
    from medssl.errors import UsageError

    fractions: dict[str, float] = {}
    for part in shares.split(","):
        name, _, value = part.partition("=")
        try:
            fractions[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"expected name=share,…, got {shares!r}", path="--shares") from None
    result = split_manifest(manifest, out, fractions, seed=seed, root=root)
    answer(result, json, readable.of_split(result))
