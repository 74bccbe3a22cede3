"""Where recipes lie: a path, or a name among those that come with medssl."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from medssl.errors import RecipeError


def recipes_folder() -> Path:
    """Where the recipes lie: inside the installed package, or at the top of a clone."""
    packed = Path(str(resources.files("medssl"))) / "_data" / "recipes"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "recipes"


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a path, or a name of ``list_recipes``.

    Raises:
        RecipeError: neither exists (``missing``).
    """
    path = Path(name)
    if path.is_file():
        return path
    packed = recipes_folder() / f"{name}.yaml"
    if path.suffix == "" and packed.is_file():
        return packed
    if path.is_dir():
        raise RecipeError("expected a recipe (.yaml), got a folder", path=name, hint="see `medssl recipe list`")
    error = RecipeError("does not exist", path=name, code="missing", hint="see `medssl recipe list`")
    # a missing file is a refused input, whatever it was meant to hold
    error.exit_code = 3
    raise error
