"""Verbs on manifests: manifest build, check, split."""

from __future__ import annotations

from pathlib import Path

import typer

from medssl.verbs.answers import JSON, answer, progressing


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    group = typer.Typer(help="Make, validate and split manifests.", no_args_is_help=True)
    group.command()(build)
    group.command()(check)
    group.command()(split)
    app.add_typer(group, name="manifest")


def build(
    folder: Path = typer.Argument(..., help="A folder of scans."),
    out: Path = typer.Argument(..., help="The manifest to write (.csv)."),
    json: bool = JSON,
) -> None:
    """Make a manifest of a folder of scans."""
    from medssl.commands.manifest import build_manifest

    with progressing() as progress:
        result = build_manifest(folder, out, progress=progress)
    answer(result, json)


def check(
    manifest: Path = typer.Argument(..., help="A manifest (.csv)."),
    root: Path | None = typer.Option(None, "--root", help="Folder that the manifest's paths start from."),
    deep: bool = typer.Option(False, "--deep", help="Read every voxel and label too."),
    json: bool = JSON,
) -> None:
    """Find every problem of a manifest in one run."""
    from medssl.commands.manifest import check_manifest

    with progressing() as progress:
        result = check_manifest(manifest, root=root, deep=deep, progress=progress)
    problems = [str(problem) for problem in result["lines"]]
    answer(result, json, *problems, f"{result['rows']} rows, {len(problems)} problems")
    if problems:
        raise typer.Exit(3)


def split(
    manifest: Path = typer.Argument(..., help="A manifest (.csv)."),
    out: Path = typer.Argument(..., help="The manifest to write."),
    shares: str = typer.Option("train=0.7,val=0.1,test=0.2", "--shares", help="Splits and their shares."),
    seed: int = typer.Option(0, "--seed", help="The seed."),
    json: bool = JSON,
) -> None:
    """Split by patient: seeded, and stable when patients are added."""
    from medssl.commands.manifest import split_manifest
    from medssl.errors import UsageError

    fractions: dict[str, float] = {}
    for part in shares.split(","):
        name, _, value = part.partition("=")
        try:
            fractions[name.strip()] = float(value)
        except ValueError:
            raise UsageError(f"expected name=share,…, got {shares!r}", path="--shares") from None
    answer(split_manifest(manifest, out, fractions, seed=seed), json)
