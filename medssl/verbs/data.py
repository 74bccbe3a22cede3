"""Verbs on dataset cards: data list, data fetch."""

from __future__ import annotations

from pathlib import Path

import typer

from medssl.verbs import readable
from medssl.verbs.answers import JSON, answer, progressing
from medssl.verbs.columns import table


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    group = typer.Typer(help="Dataset cards, and data that can be had freely.", no_args_is_help=True)
    group.command("list")(list_cards)
    group.command("fetch")(fetch)
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
