"""Verbs on recipes: recipe list, show, check, schema."""

from __future__ import annotations

import json as json_text
from pathlib import Path

import typer

from medssl.verbs.answers import JSON, OVERRIDES, answer
from medssl.verbs.columns import table

RECIPE = typer.Argument(..., metavar="RECIPE", help="A file (.yaml), or a name of `medssl recipe list`.")


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
    rows = [[item["name"], item["verb"], item["title"]] for item in found]
    answer({"recipes": found}, json, table(["name", "verb", "what it does"], rows))


def show(name: str = RECIPE, json: bool = JSON) -> None:
    """Print a recipe.

    `medssl recipe show NAME > mine.yaml` gives one to change.
    """
    from medssl.commands.recipe import show_recipe

    text = show_recipe(name)
    answer({"recipe": name, "text": text}, json, text.splitlines())


def check(
    recipe: str = RECIPE,
    overrides: list[str] | None = OVERRIDES,
    json: bool = JSON,
) -> None:
    """Check a recipe without running it.

    Every key, type, range and name, and that the method fits the encoder.
    """
    from medssl.commands.recipe import check_recipe

    result = check_recipe(recipe, overrides or ())
    answer(result, json, [f"{recipe}: a {result['verb']} recipe, nothing wrong"])


def schema(
    verb: str = typer.Argument("pretrain", metavar="VERB", help="pretrain or finetune."),
    out: Path | None = typer.Option(None, "--out", metavar="FILE", help="A file in the place of stdout."),
    json: bool = JSON,
) -> None:
    """Print the JSON schema of a recipe.

    With it an editor completes and checks what is written.
    """
    from medssl.atomic import write_text
    from medssl.commands.recipe import recipe_schema

    text = json_text.dumps(recipe_schema(verb), indent=2) + "\n"
    if out is None:
        print(text, end="")
        return
    write_text(out, text)
    answer({"written": str(out)}, json, [f"written  {out}"])
