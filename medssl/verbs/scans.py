"""Verbs on scans: inspect, convert, reduce."""

from __future__ import annotations

from pathlib import Path

import typer

from medssl.verbs import readable
from medssl.verbs.answers import JSON, ROOT, answer, progressing


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (inspect, convert, reduce):
        app.command()(verb)


def inspect(
    path: Path = typer.Argument(..., metavar="PATH", help="A file, or a folder with any number of scans."),
    headers: bool = typer.Option(
        False, "--headers", help="Geometry from headers alone: quick, and blind to broken voxels."
    ),
    workers: int | None = typer.Option(None, "--workers", min=1, metavar="N", help="Threads that read; a few, else."),
    json: bool = JSON,
) -> None:
    """Say what is in a file or folder of scans.

    Series, geometry, intensities, flags and problems of every volume. Exit code 3 where a volume cannot be used.
    """
    from medssl.commands.inspect import inspect as run
    from medssl.errors import CheckError, InputError

    with progressing() as progress:
        result = run(path, headers=headers, workers=workers, progress=progress if path.is_dir() else None)
    problems, volumes = result["problems"], result["volumes"]
    answer(result, json, readable.of_inspection(result))
    if len(volumes) == 1 and len(problems) == 1:
        (first,) = problems
        raise InputError(first["reason"], path=first["file"], code=first["code"], hint=first["hint"] or None)
    if problems:
        bad = sum(bool(volume["problems"]) for volume in volumes)
        raise CheckError(f"{bad} of {len(volumes)} volumes cannot be used", path=str(path), code=problems[0]["code"])


def convert(
    src: Path = typer.Argument(..., metavar="SRC", help="A scan or label: a file or a DICOM folder."),
    dst: Path = typer.Argument(..., metavar="DST", help="The file: .nii.gz, .nii, .mha, .nrrd or .npz."),
    series: str | None = typer.Option(
        None, "--series", metavar="N", help="Which series of a folder, as `inspect` numbers them."
    ),
    volume: int | None = typer.Option(None, "--volume", min=0, metavar="N", help="Which volume of a 4D file, from 0."),
    prefer: str | None = typer.Option(None, "--prefer", metavar="FORM", help="sform or qform, where they disagree."),
    nan: str | None = typer.Option(None, "--nan", metavar="fill=V", help="Put V where a voxel is not a number."),
    allow_gaps: bool = typer.Option(
        False, "--allow-gaps", help="Resample a series with missing slices; the result is flagged."
    ),
    suv: bool = typer.Option(False, "--suv", help="A DICOM PET in standardised uptake values by body weight."),
    like: Path | None = typer.Option(None, "--like", metavar="SCAN", help="The scan whose grid a label map takes."),
    segment: str | None = typer.Option(
        None, "--segment", metavar="N", help="One segment of a DICOM label alone, by number or name."
    ),
    threshold: float | None = typer.Option(
        None, "--threshold", metavar="SHARE", help="From which share on a fractional segmentation counts."
    ),
    resample: bool = typer.Option(
        False, "--resample", help="Take a label map on another grid by nearest neighbour; the result is flagged."
    ),
    json: bool = JSON,
) -> None:
    """Convert one scan or label to another format.

    A DICOM segmentation or structure set becomes a label map. Every check of the reader applies. An existing DST is
    replaced.
    """
    from medssl.commands.convert import convert as run

    result = run(
        src,
        dst,
        series=series,
        volume=volume,
        prefer=prefer,
        nan=nan,
        allow_gaps=allow_gaps,
        suv=suv,
        like=like,
        segment=segment,
        threshold=threshold,
        resample=resample,
    )
    answer(result, json, readable.of_conversion(result))


def reduce(
    manifest: Path = typer.Argument(..., metavar="MANIFEST", help="A manifest (.csv)."),
    out: Path = typer.Argument(..., metavar="OUT", help="Folder for the reduced manifest and removed.csv."),
    root: Path | None = ROOT,
    unit: str = typer.Option("scan", "--unit", metavar="UNIT", help="scan, or slice (within each scan)."),
    threshold: int | None = typer.Option(
        None,
        "--threshold",
        min=0,
        metavar="N",
        help="Bits of 64 in which the hashes of doubles may differ; 6 without it.",
    ),
    keep_patients: bool = typer.Option(
        False, "--keep-patients", help="Keep at least one scan of every patient, doubles or not."
    ),
    json: bool = JSON,
) -> None:
    """Leave redundant scans or slices out, and say why.

    Rows of test and validation splits pass through untouched.
    """
    from medssl.commands.reduce import reduce as run

    with progressing() as progress:
        result = run(
            manifest,
            out,
            root=root,
            unit=unit,
            threshold=threshold,
            keep_patients=keep_patients,
            progress=progress,
        )
    answer(result, json, readable.of_reduction(result))
