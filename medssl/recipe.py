"""Recipes: plain data and overrides become typed objects, with the constructors' signatures as the schema.

A recipe is data. It holds values only. A part is chosen by name from a
registry, a dict literal of name → ``"package.module:Class"``; the rest of its mapping are the constructor's
settings. Types, ranges and defaults are read from the signature and checked by pydantic.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import math
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import pydantic

from medssl.errors import MedsslError, RecipeError
from medssl.expectations import did_you_mean, expectation, show
from medssl.plain_yaml import parse_yaml, refuse_code

T = TypeVar("T")


@dataclass(frozen=True)
class From:
    """Marks a field whose value is chosen from a registry: ``Annotated[Choice, From(ENCODERS, "…:Encoder")]``.

    Args:
        registry: name to ``"package.module:Class"``.
        contract: ``"package.module:Class"`` that a class of the user's own must derive from.
        injected: constructor parameters that the program passes itself; a recipe cannot set them.
    """

    registry: Mapping[str, str]
    contract: str
    injected: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.contract, self.injected, tuple(self.registry)))


@dataclass(frozen=True)
class Choice:
    """A part chosen by name, with its checked settings.

    Args:
        name: a registered name, or ``package.module:Class``.
        settings: every setting that the recipe gave.
        target: the class.
        where: the file that chose it, for messages.
        at: the key there.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    target: type = object
    where: str = field(default="recipe", compare=False)
    at: str = field(default="part", compare=False)

    def build(self, *args: Any, **injected: Any) -> Any:
        """Construct the part.

        Raises:
            MedsslError: the constructor's own, with the file and the key; ``recipe-class`` where a class of the user's
                own cannot be constructed.
        """
        try:
            return self.target(*args, **injected, **self.settings)
        except MedsslError as error:
            raise _named(error, self.where, self.at) from error
        except (TypeError, ValueError, RuntimeError) as error:
            if ":" not in self.name:
                raise
            reason = f"{self.at}: {self.name} cannot be constructed: {error}"
            raise RecipeError(reason, path=self.where, code="recipe-class") from error

    def to_plain(self) -> dict[str, Any]:
        """The choice as it stands in a recipe."""
        return {"name": self.name, **self.settings}


def with_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy with ``key.path=value`` applied; values are YAML.

    Example:
        >>> with_overrides({"optim": {"lr": 0.1}}, ["optim.lr=1e-3", "views.crop=[8, 8, 8]"])
        {'optim': {'lr': 0.001}, 'views': {'crop': [8, 8, 8]}}
    """
    out: dict[str, Any] = json.loads(json.dumps(data))
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise RecipeError("an override reads key.path=value", path=text, code="recipe-syntax")
        here = out
        *parents, last = key.strip().split(".")
        for name in parents:
            here = here.setdefault(name, {})
            if not isinstance(here, dict):
                raise RecipeError(f"{name} is a value, not a section", path=text, code="recipe-key")
        here[last] = parse_yaml(value, text)
        refuse_code({last: here[last]}, text)
    return out


def check(kind: Callable[..., T], data: Mapping[str, Any], where: str = "recipe") -> T:
    """Construct ``kind`` from plain data; unknown keys, wrong types and ranges are named by their path.

    Args:
        kind: a dataclass or class; the signature of its constructor is the schema.
        data: plain data, as YAML gives it.
        where: the file, for messages.

    Raises:
        RecipeError: with ``recipe-key``, ``recipe-value``, ``recipe-name`` or ``recipe-class``.
    """
    settings = _check_settings(kind, data, where, "", ())
    try:
        return kind(**settings)
    except RecipeError as error:
        spot = "" if error.path is None else f"{error.path}: "
        raise RecipeError(f"{spot}{error.reason}", path=where, code=error.code, hint=error.hint) from error


def _check_settings(
    kind: Callable[..., Any], data: Any, where: str, at: str, injected: Sequence[str]
) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        name = at.rstrip(".") or "recipe"
        raise RecipeError(f"{name}: expected a mapping, got {show(data)}", path=where)
    known = _parameters(kind, tuple(injected))
    for key in data:
        if key not in known:
            raise RecipeError(f"unknown key {at}{key}", path=where, code="recipe-key", hint=did_you_mean(key, known))
    out: dict[str, Any] = {}
    for name, (annotation, default) in known.items():
        if name in data:
            out[name] = _check_value(annotation, data[name], where, f"{at}{name}")
        elif default is inspect.Parameter.empty:
            raise RecipeError(f"the key {at}{name} is missing", path=where, hint=f"it is {_type_name(annotation)}")
    return out


def _check_value(annotation: Any, value: Any, where: str, at: str) -> Any:
    marker = _marker(annotation)
    if marker is not None:
        if value is None and _optional(annotation):
            return None
        return choose(marker, value, where, at)
    section = _section(annotation)
    if section is not None:
        if value is None and _optional(annotation):
            return None
        settings = _check_settings(section, value, where, f"{at}.", ())
        return _construct(section, settings, where, at)
    try:
        return _adapter(annotation).validate_json(json.dumps(value), strict=True)
    except pydantic.ValidationError as error:
        spot, expected, came = expectation(error.errors())
        raise RecipeError(f"{'.'.join([at, *spot])}: expected {expected}, got {show(came)}", path=where) from error
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{at}: {error}", path=where) from error


def _construct(kind: Callable[..., Any], settings: dict[str, Any], where: str, at: str) -> Any:
    try:
        return kind(**settings)
    except RecipeError as error:
        raise _named(error, where, at) from error


def _named(error: MedsslError, where: str, at: str) -> MedsslError:
    """A constructor's error with the file and the whole key: it names its setting in ``path``, or in the reason."""
    spot = at if error.path is None else f"{at}.{error.path}"
    said = "" if error.reason.startswith(f"{at}.") else f"{spot}: "
    return type(error)(f"{said}{error.reason}", path=where, code=error.code, hint=error.hint)


def choose(marker: From, value: Any, where: str = "recipe", at: str = "part") -> Choice:
    """A ``Choice`` from ``"name"`` or ``{name: …, settings}``, its settings checked against the class."""
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise RecipeError(f"{at}: expected a name or {{name: …}}, got {show(value)}", path=where)
    name = value["name"]
    target = _resolve(marker, name, where, at)
    rest = {key: item for key, item in value.items() if key != "name"}
    settings = _check_settings(target, rest, where, f"{at}.", marker.injected)
    return Choice(name, settings, target, where, at)


def _resolve(marker: From, name: str, where: str, at: str) -> type:
    if name in marker.registry:
        return load_class(marker.registry[name])
    if ":" not in name:
        raise RecipeError(
            f"{at}.name: nothing is registered as {name!r}",
            path=where,
            code="recipe-name",
            hint=did_you_mean(name, marker.registry),
        )
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found = load_class(name)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise RecipeError(
            f"{at}.name: cannot load {name}: {error}",
            path=where,
            code="recipe-class",
            hint="write package.module:Class",
        ) from error
    finally:
        if added:
            sys.path.remove(here)
    contract = load_class(marker.contract)
    if not (isinstance(found, type) and issubclass(found, contract)):
        raise RecipeError(f"{at}.name: {name} must be a subclass of {marker.contract}", path=where, code="recipe-class")
    return found


def load_class(spec: str) -> type:
    """The object named ``package.module:Class``."""
    module, _, name = spec.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


def json_schema(kind: Callable[..., Any], injected: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON schema of a recipe, so that an editor completes and checks it."""
    properties: dict[str, Any] = {}
    required = []
    notes = _argument_notes(kind)
    for name, (annotation, default) in _parameters(kind, tuple(injected)).items():
        entry = _schema_of(annotation)
        if name in notes:
            entry = {**entry, "description": notes[name]}
        if default is inspect.Parameter.empty:
            required.append(name)
        elif isinstance(default, str | int | float | bool | list | tuple) or default is None:
            entry = {**entry, "default": list(default) if isinstance(default, tuple) else default}
        properties[name] = entry
    out = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**out, "required": required} if required else out


def _schema_of(annotation: Any) -> dict[str, Any]:
    marker = _marker(annotation)
    if marker is not None:
        options: list[dict[str, Any]] = []
        for name, spec in marker.registry.items():
            one = json_schema(load_class(spec), marker.injected)
            one["properties"] = {"name": {"const": name}, **one["properties"]}
            one["required"] = ["name", *one.get("required", [])]
            options.append(one)
        options.append({"type": "string", "enum": list(marker.registry)})
        options.append(
            {"type": "object", "properties": {"name": {"type": "string", "pattern": ":"}}, "required": ["name"]}
        )
        return {"anyOf": [*options, {"type": "null"}] if _optional(annotation) else options}
    section = _section(annotation)
    if section is not None:
        inner = json_schema(section)
        return {"anyOf": [inner, {"type": "null"}]} if _optional(annotation) else inner
    return _adapter(annotation).json_schema()


@lru_cache(maxsize=512)
def _parameters(kind: Callable[..., Any], injected: tuple[str, ...]) -> dict[str, tuple[Any, Any]]:
    signature = inspect.signature(kind)
    owner: Any = kind
    annotated = getattr(owner, "__init__") if isinstance(owner, type) else owner  # noqa: B009
    hints = get_type_hints(annotated, include_extras=True)
    out: dict[str, tuple[Any, Any]] = {}
    for name, parameter in signature.parameters.items():
        if name in injected or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        if dataclasses.is_dataclass(kind) and default is not parameter.empty:
            default = _dataclass_default(kind, name)
        out[name] = (hints.get(name, Any), default)
    return out


def _dataclass_default(kind: Any, name: str) -> Any:
    for entry in dataclasses.fields(kind):
        if entry.name == name:
            return None if entry.default is dataclasses.MISSING else entry.default
    return None


@lru_cache(maxsize=512)
def _adapter(annotation: Any) -> pydantic.TypeAdapter[Any]:
    try:
        return pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(allow_inf_nan=False))
    except pydantic.PydanticUserError:
        # a model of its own brings its own settings
        return pydantic.TypeAdapter(annotation)


def _parts(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, looking through Annotated."""
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _marker(annotation: Any) -> From | None:
    if get_origin(annotation) is Annotated:
        return next((extra for extra in get_args(annotation)[1:] if isinstance(extra, From)), None)
    return next((found for part in _parts(annotation) if part is not annotation and (found := _marker(part))), None)


def _section(annotation: Any) -> Callable[..., Any] | None:
    return next(
        (part for part in _parts(annotation) if isinstance(part, type) and dataclasses.is_dataclass(part)), None
    )


def _optional(annotation: Any) -> bool:
    return type(None) in _parts(annotation)


def _type_name(annotation: Any) -> str:
    marker = _marker(annotation)
    if marker is not None:
        return f"one of {', '.join(marker.registry)}"
    if _section(annotation) is not None:
        return "a mapping"
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(_parts(annotation)[0], str(annotation).replace("typing.", ""))


def _argument_notes(kind: Callable[..., Any]) -> dict[str, str]:
    """The lines of the docstring's Args section, by argument."""
    doc = inspect.getdoc(kind) or ""
    _, found, rest = doc.partition("Args:\n")
    notes: dict[str, str] = {}
    name = ""
    for line in rest.splitlines() if found else []:
        start = re.match(r"^ {4}(\w+): (.*)$", line)
        if start:
            name = start.group(1)
            notes[name] = start.group(2)
        elif line.startswith("        ") and name:
            notes[name] += " " + line.strip()
        else:
            break
    return notes


def to_plain(value: Any) -> Any:
    """A checked recipe as plain data again, for ``recipe.yaml`` in the run folder."""
    if isinstance(value, Choice):
        return to_plain(value.to_plain())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: to_plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
