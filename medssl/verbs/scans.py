"""Verbs on scans: inspect, convert, reduce."""

from __future__ import annotations

from pathlib import Path

import typer

from medssl.verbs.answers import JSON, answer, progressing


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (inspect, convert, reduce):
        app.command()(verb)


def inspect(path: Path = typer.Argument(..., help="A file or folder."), json: bool = JSON) -> None:
    """Say what is in a file or folder: series, geometry, intensities, flags, problems."""
    from medssl.commands.inspect import inspect as run
    from medssl.commands.inspect import lines

    result = run(path)
    answer(result, json, *lines(result))
    if result.get("problems"):
        raise typer.Exit(3)


def convert(
    src: Path = typer.Argument(..., help="A scan: a file or a DICOM folder."),
    dst: Path = typer.Argument(..., help=".nii.gz, .nii, .mha, .nrrd or .npz"),
    series: str | None = typer.Option(None, "--series", help="Which series of a folder (as `inspect` numbers them)."),
    volume: int | None = typer.Option(None, "--volume", min=0, help="Which volume of a 4D file."),
    prefer: str | None = typer.Option(None, "--prefer", help="sform or qform, where they disagree."),
    nan: str | None = typer.Option(None, "--nan", help="fill=V puts V where a voxel is not a number."),
    allow_gaps: bool = typer.Option(False, "--allow-gaps", help="Resample a series with missing slices; flagged."),
    json: bool = JSON,
) -> None:
    """Convert one scan with every check of the reader."""
    from medssl.commands.convert import convert as run

    result = run(src, dst, series=series, volume=volume, prefer=prefer, nan=nan, allow_gaps=allow_gaps)
    answer(result, json)


def reduce(
    manifest: Path = typer.Argument(..., help="A manifest (.csv)."),
    out: Path = typer.Argument(..., help="Folder for the reduced manifest and removed.csv."),
    root: Path | None = typer.Option(None, "--root", help="Folder that the manifest's paths start from."),
    unit: str = typer.Option("scan", "--unit", help="scan, or slice (within each scan)."),
    threshold: int | None = typer.Option(None, "--threshold", min=0, help="Largest Hamming distance of a double."),
    json: bool = JSON,
) -> None:
    """Leave redundant scans or slices out, and say why."""
    from medssl.commands.reduce import reduce as run

    with progressing() as progress:
        result = run(manifest, out, root=root, unit=unit, threshold=threshold, progress=progress)
    answer(result, json)
