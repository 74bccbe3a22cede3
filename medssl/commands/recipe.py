"""Recipes that come with medssl: list, show, check, and their JSON schema."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from medssl.errors import RecipeError, UsageError
from medssl.plain_yaml import load_yaml
from medssl.recipe import check, json_schema, load_class, with_overrides

VERBS: dict[str, str] = {
    "pretrain": "medssl.commands.pretrain:PretrainRecipe",
    "finetune": "medssl.commands.finetune:FinetuneRecipe",
}
"""Verb → the dataclass whose signature is the recipe's schema."""


def recipes_folder() -> Path:
    """Where the recipes lie: inside the installed package, or at the top of a clone."""
    packed = Path(str(resources.files("medssl"))) / "_data" / "recipes"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "recipes"


def list_recipes() -> list[dict[str, str]]:
    """Name, verb and first comment line of every recipe that comes with medssl."""
    folder = recipes_folder()
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").split("   ")[0]
        name = str(path.relative_to(folder).with_suffix("")).replace("\\", "/")
        found.append({"name": name, "verb": verb_of(load_yaml(path)), "title": title})
    return found


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


def show_recipe(name: str) -> str:
    """The text of a recipe."""
    return find_recipe(name).read_text(encoding="utf-8")


def verb_of(data: dict[str, Any]) -> str:
    """Which verb a recipe is for: one with a ``task`` fine-tunes, any other pretrains."""
    return "finetune" if "task" in data else "pretrain"


def check_recipe(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Check a recipe without running it.

    Raises:
        RecipeError: what does not fit, by its key.
    """
    path = find_recipe(name)
    data = with_overrides(load_yaml(path), overrides)
    verb = verb_of(data)
    asked: Any = check(_schema_class(verb), data, str(path))
    if verb == "pretrain":
        from medssl.commands.pretrain import rehearse

        rehearse(asked)
    return {"recipe": str(path), "verb": verb, "problems": []}


def recipe_schema(verb: str) -> dict[str, Any]:
    """The JSON schema of a verb's recipes."""
    if verb not in VERBS:
        raise UsageError(f"expected one of {', '.join(VERBS)}, got {verb!r}", path="VERB")
    schema = json_schema(_schema_class(verb))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"medssl {verb} recipe", **schema}


def _schema_class(verb: str) -> type:
    return load_class(VERBS[verb])
