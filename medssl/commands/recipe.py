"""Recipes that come with medssl: list, show, check, and their JSON schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medssl.commands.recipe_files import find_recipe, recipes_folder
from medssl.errors import ResourceError, UsageError
from medssl.plain_yaml import load_yaml
from medssl.recipe import check, json_schema, load_class, with_overrides

VERBS: dict[str, str] = {
    "pretrain": "medssl.commands.pretrain:PretrainRecipe",
    "finetune": "medssl.commands.finetune:FinetuneRecipe",
}
"""Verb → the dataclass whose signature is the recipe's schema."""


def list_recipes() -> list[dict[str, str]]:
    """Name, verb and first comment line of every recipe that comes with medssl."""
    folder = recipes_folder()
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").split("   ")[0]
        name = str(path.relative_to(folder).with_suffix("")).replace("\\", "/")
        found.append({"name": name, "verb": verb_of(load_yaml(path)), "title": title})
    return found


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
        ResourceError: its networks are too large for the memory there is.
    """
    path = find_recipe(name)
    data = with_overrides(load_yaml(path), overrides)
    verb = verb_of(data)
    asked: Any = check(_schema_class(verb), data, name)
    if asked.encoder is not None:
        from medssl.commands.pretrain import rehearse
        from medssl.training.fit import NO_MEMORY

        try:
            rehearse(asked)
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and not any(word in str(error).lower() for word in NO_MEMORY):
                raise
            raise ResourceError(
                "not enough memory to build the networks", path=name, code="memory", hint="a smaller encoder"
            ) from error
    return {"recipe": str(path), "verb": verb, "problems": []}


def recipe_schema(verb: str) -> dict[str, Any]:
    """The JSON schema of a verb's recipes."""
    if verb not in VERBS:
        raise UsageError(f"expected one of {', '.join(VERBS)}, got {verb!r}", path="VERB")
    schema = json_schema(_schema_class(verb))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"medssl {verb} recipe", **schema}


def _schema_class(verb: str) -> type:
    return load_class(VERBS[verb])
