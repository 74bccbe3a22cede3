"""Verbs on weights folders: weights show, check."""

from __future__ import annotations

from pathlib import Path

import typer

from medssl.verbs.answers import JSON, answer


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    group = typer.Typer(help="Look at weights folders.", no_args_is_help=True)
    group.command()(show)
    group.command()(check)
    app.add_typer(group, name="weights")


def show(folder: Path = typer.Argument(..., help="A weights folder or a run."), json: bool = JSON) -> None:
    """Say what a weights folder holds: encoder, input contract, what it was trained on."""
    from medssl.commands.weights import show_weights

    answer(show_weights(folder), json)


def check(folder: Path = typer.Argument(..., help="A weights folder or a run."), json: bool = JSON) -> None:
    """Verify a weights folder: formats, checksums, finite numbers, and that the encoder loads."""
    from medssl.commands.weights import check_weights

    answer(check_weights(folder), json)
