"""Verbs on recipes: recipe list, show, check, schema."""

from __future__ import annotations

import json as json_text
from pathlib import Path

import typer

from medssl.verbs.answers import JSON, answer


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    group = typer.Typer(help="What can be run, and what a recipe may say.", no_args_is_help=True)
    group.command("list")(list_recipes)
    for verb in (show, check, schema):
        group.command()(verb)
    app.add_typer(group, name="recipe")


def list_recipes(json: bool = JSON) -> None:
    """List the recipes that come with medssl."""
    from medssl.commands.recipe import list_recipes as run

    found = run()
    answer({"recipes": found}, json, *(f"{item['name']:<34} {item['title']}" for item in found))


def show(name: str = typer.Argument(..., help="A name of `medssl recipe list`, or a file.")) -> None:
    """Print a recipe."""
    from medssl.commands.recipe import show_recipe

    print(show_recipe(name), end="")


def check(
    recipe: str = typer.Argument(..., help="A name of `medssl recipe list`, or a file."),
    overrides: list[str] | None = typer.Argument(None, metavar="[key.path=value ...]"),
    json: bool = JSON,
) -> None:
    """Check a recipe without running it."""
    from medssl.commands.recipe import check_recipe

    result = check_recipe(recipe, overrides or ())
    answer(result, json, f"{recipe}: a {result['verb']} recipe, nothing wrong")


def schema(
    verb: str = typer.Argument("pretrain", help="pretrain or finetune"),
    out: Path | None = typer.Option(None, "--out", help="A file; by default stdout."),
) -> None:
    """Print the JSON schema of a recipe, so that an editor completes it."""
    from medssl.commands.recipe import recipe_schema

    text = json_text.dumps(recipe_schema(verb), indent=2) + "\n"
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
