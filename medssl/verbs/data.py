"""Verbs on data sets: data list, data fetch, data unpack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from medssl.verbs import readable
from medssl.verbs.answers import JSON, answer, progressing
from medssl.verbs.columns import MOST, count, facts, table


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    group = typer.Typer(help="Dataset cards, and data that can be had freely.", no_args_is_help=True)
    group.command("list")(list_cards)
    group.command("fetch")(fetch)
    group.command("unpack")(unpack)
    app.add_typer(group, name="data")


def list_cards(json: bool = JSON) -> None:
    """List the dataset cards."""
    from medssl.commands.data import list_data

    cards = list_data()
    rows = [[card["name"], card["title"], card["licence"]] for card in cards]
    answer({"cards": cards}, json, table(["name", "title", "licence"], rows))


def fetch(
    name: str = typer.Argument(..., metavar="NAME", help="A name of `medssl data list`."),
    cache: Path | None = typer.Option(
        None, "--cache", metavar="DIR", help="Where to keep it; by default the user's cache."
    ),
    json: bool = JSON,
) -> None:
    """Get a dataset that can be had freely.

    Every file is checked against its sha256. MEDSSL_OFFLINE=1 forbids the network.
    """
    from medssl.commands.data import fetch_data

    with progressing() as progress:
        result = fetch_data(name, cache=cache, progress=progress)
    answer(result, json, readable.of_fetched(result))


def unpack(
    archive: Path = typer.Argument(..., metavar="ARCHIVE", help="A .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz."),
    folder: Path = typer.Argument(..., metavar="FOLDER", help="The folder to make; it must not exist yet."),
    max_gb: float = typer.Option(100.0, "--max-gb", min=0, metavar="GB", help="Unpacked size at most."),
    max_members: int = typer.Option(1_000_000, "--max-members", min=1, metavar="N", help="Members at most."),
    max_ratio: float = typer.Option(
        200.0, "--max-ratio", min=1, metavar="X", help="Unpacked over packed size at most."
    ),
    json: bool = JSON,
) -> None:
    """Unpack an archive of scans without trusting it.

    Names that leave the folder, links, devices, doubles and bombs are refused (exit code 4), and nothing is left.
    """
    from medssl.commands.data import unpack as run

    with progressing() as progress:
        result = run(archive, folder, max_gb=max_gb, max_members=max_members, max_ratio=max_ratio, progress=progress)
    answer(result, json, _unpacked(result))


def _unpacked(result: Mapping[str, Any]) -> list[str]:
    """What came out of an archive, and what comes next."""
    known = {"unpacked": f"{count(result['files'], 'file')}, {result['bytes']} bytes, in {result['folder']}"}
    nested = [f"left packed: {name}" for name in result["nested"][:MOST]]
    return [*facts(known), *nested, f"Next: medssl manifest build {result['folder']} {result['folder']}.csv"]
