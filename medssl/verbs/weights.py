"""Verbs on weights folders: weights show, check."""

from __future__ import annotations

from pathlib import Path

import typer

from medssl.verbs import readable
from medssl.verbs.answers import JSON, answer

FOLDER = typer.Argument(..., metavar="FOLDER", help="A weights folder or a run.")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    group = typer.Typer(help="Look at weights folders.", no_args_is_help=True)
    group.command()(show)
    group.command()(check)
    app.add_typer(group, name="weights")


def show(folder: Path = FOLDER, json: bool = JSON) -> None:
    """Say what a weights folder holds.

    Encoder, heads, what it expects as input and what it was trained on.
    """
    from medssl.commands.weights import show_weights

    result = show_weights(folder)
    answer(result, json, readable.of_weights(result))


def check(folder: Path = FOLDER, json: bool = JSON) -> None:
    """Verify a weights folder and load it.

    Formats, checksums, finite numbers, and that the encoder and the task's head can be filled.
    """
    from medssl.commands.weights import check_weights

    result = check_weights(folder)
    answer(result, json, [f"{result['folder']}: {result['files']} files verified, {result['loaded']}; nothing wrong"])
