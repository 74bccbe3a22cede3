"""YAML as plain data: no tags, no aliases, no repeated keys, nothing that could name code (promise P47)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from medssl.errors import IntegrityError, RecipeError, from_os_error

MAX_BYTES = 1 << 20
MAX_DEPTH = 50


class _Loader(yaml.SafeLoader):
    """YAML without tags, aliases and repeated keys; ``1e-4`` is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf)$|^\.nan$"),
    list("-+0123456789."),
)
# integers must win over the wider float pattern, so they are tried first; a date stays a text
for _first, _rules in list(_Loader.yaml_implicit_resolvers.items()):
    _kept = [rule for rule in _rules if not rule[0].endswith(":timestamp")]
    _Loader.yaml_implicit_resolvers[_first] = sorted(_kept, key=lambda rule: not rule[0].endswith(":int"))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a plain value", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse_yaml(text: str, where: str = "recipe") -> Any:
    """Plain data from YAML text; anything that could name code is refused.

    Raises:
        IntegrityError: a tag, an anchor or an alias (``recipe-unsafe``).
        RecipeError: not YAML (``recipe-syntax``), or a key stands twice.

    Example:
        >>> parse_yaml("lr: 1e-4")
        {'lr': 0.0001}
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise RecipeError(f"nested more than {MAX_DEPTH} deep", path=where, code="recipe-syntax")
            tag = getattr(event, "tag", None)
            anchor = getattr(event, "anchor", None)
            number = event.start_mark.line + 1 if event.start_mark is not None else 0
            if tag is not None and tag != "!":
                raise IntegrityError(
                    f"line {number}: the YAML tag {tag} is not allowed",
                    path=where,
                    code="recipe-unsafe",
                    hint="a recipe holds plain values only",
                )
            if anchor is not None:
                raise IntegrityError(
                    f"line {number}: YAML anchors and aliases are not allowed",
                    path=where,
                    code="recipe-unsafe",
                    hint="write the value out",
                )
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader with less
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"{line}{problem}", path=where, code="recipe-syntax") from error
    except RecursionError as error:
        raise RecipeError("nested too deeply", path=where, code="recipe-syntax") from error


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file of at most 1 MB."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise from_os_error(error, path) from error
    if len(raw) > MAX_BYTES:
        raise RecipeError(f"a recipe has at most {MAX_BYTES} bytes, got {len(raw)}", path=path, code="recipe-syntax")
    try:
        data = parse_yaml(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise RecipeError(f"not UTF-8 at byte {error.start}", path=path, code="recipe-syntax") from error
    if not isinstance(data, dict):
        came = {type(None): "nothing", list: "a list"}.get(type(data), "a single value")
        raise RecipeError(f"expected a mapping of keys, got {came}", path=path, code="recipe-syntax")
    refuse_code(data, str(path))
    return data


def refuse_code(value: Any, where: str, at: str = "", who: str = "a recipe") -> None:
    """Refuse keys such as ``_target_`` that other programs take for something to call.

    Raises:
        IntegrityError: ``recipe-unsafe``, saying that ``who`` cannot name code.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and key.startswith("_") and key.endswith("_"):
                raise IntegrityError(
                    f"{at}{key}: {who} cannot name code to call",
                    path=where,
                    code="recipe-unsafe",
                    hint="choose a part with `name:`",
                )
            refuse_code(item, where, f"{at}{key}.", who)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            refuse_code(item, where, f"{at}{number}.", who)
