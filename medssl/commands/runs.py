"""Run folders: a recipe checked, a folder that holds no other run, and what the run says of itself."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from medssl import __version__
from medssl.atomic import make_folder, write_text
from medssl.commands.recipe_files import find_recipe
from medssl.errors import RecipeError, UsageError
from medssl.plain_yaml import load_yaml
from medssl.recipe import check, to_plain, with_overrides

T = TypeVar("T")

Progress = Callable[[int, int, str], None]
"""Called with parts done, parts in all, and what is being done."""

RECIPE, RUN, METRICS, CHECKPOINTS, WEIGHTS = "recipe.yaml", "run.json", "metrics.csv", "checkpoints", "weights"


def silent(done: int, total: int, text: str) -> None:
    """The progress that tells nobody."""


def checked_recipe(kind: Callable[..., T], recipe: T | Mapping[str, Any] | str | Path, overrides: Sequence[str]) -> T:
    """A recipe with its overrides, checked.

    Args:
        kind: the recipe's dataclass.
        recipe: one that is checked already, plain data, a file, or the name of one that comes with medssl.
        overrides: ``key.path=value``, each.

    Raises:
        RecipeError: a key, type, value or name does not fit.
        IntegrityError: it tries to name code.
    """
    if isinstance(recipe, str | Path):
        path = find_recipe(recipe)
        data, where = load_yaml(path), str(recipe)
    else:
        plain = to_plain(recipe)
        data, where = dict(plain), "recipe"
    return check(kind, with_overrides(data, overrides), where)


def open_run(out: str | Path, resume: bool) -> Path:
    """The run's folder, which holds no other run unless this one goes on with it.

    Raises:
        UsageError: a run stands there already (``exists``), or it is a file.
        RecipeError: the name is empty.
    """
    if not str(out).strip():
        raise RecipeError("expected the name of a folder, got an empty text", path="out")
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise UsageError("expected a folder for the run, got a file", path=path, code="exists")
    there = [name for name in (RECIPE, RUN, METRICS, CHECKPOINTS, WEIGHTS) if (path / name).exists()]
    if there and not resume and is_first_process():
        raise UsageError(
            f"a run stands there already ({', '.join(there)})",
            path=path,
            code="exists",
            hint="go on with --resume, or choose another `out`",
        )
    return path


def is_first_process() -> bool:
    """Whether this is the process that writes, where a launcher started several."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def write_recipe(out: Path, recipe: Any) -> None:
    """The merged recipe, as ``recipe.yaml``."""
    if not is_first_process():
        return
    make_folder(out)
    write_text(out / RECIPE, yaml.safe_dump(to_plain(recipe), sort_keys=False, allow_unicode=True))


def write_run(out: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the run took and made, as ``run.json``; given back with the folder."""
    import torch

    versions = {"medssl": __version__, "torch": torch.__version__, "python": platform.python_version()}
    if is_first_process():
        write_json(out / RUN, {**facts, "versions": versions})
    return {"run": str(out), **facts}


def write_json(path: Path, data: Any) -> None:
    """A JSON file, whole or not at all; numbers that are not finite become null."""
    write_text(path, json.dumps(_finite(data), indent=2, ensure_ascii=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
