"""Recipes as data: what is read, what is refused, and that the signature is the schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pydantic
import pytest

from medssl import recipe
from medssl.errors import IntegrityError, MedsslError, RecipeError
from medssl.plain_yaml import parse_yaml
from medssl.recipe import Choice, From


class Shape:
    """The contract."""


class Ball(Shape):
    """A ball.

    Args:
        centre: where it lies.
        radius: in voxels.
    """

    def __init__(
        self, centre: Any, radius: Annotated[float, pydantic.Field(gt=0)] = 1.0, size: tuple[int, int] = (1, 2)
    ):
        self.centre, self.radius, self.size = centre, radius, size


PARTS = {"ball": f"{__name__}:Ball"}


@dataclass(frozen=True)
class Inner:
    """A section."""

    lr: Annotated[float, pydantic.Field(gt=0)] = 1e-3
    name: str = "adamw"


@dataclass(frozen=True)
class Whole:
    """A recipe.

    Args:
        out: the folder.
    """

    out: str
    part: Annotated[Choice, From(PARTS, f"{__name__}:Shape", ("centre",))]
    inner: Inner = Inner()
    spare: Annotated[Choice, From(PARTS, f"{__name__}:Shape", ("centre",))] | None = None
    seed: int = 0


GOOD = {"out": "o", "part": {"name": "ball", "radius": 2, "size": [3, 4]}}


def test_a_recipe_becomes_typed_objects() -> None:
    whole = recipe.check(Whole, GOOD)
    ball = whole.part.build("here")
    assert isinstance(ball, Ball)
    assert (ball.centre, ball.radius, ball.size) == ("here", 2.0, (3, 4))
    assert recipe.to_plain(whole)["part"] == {"name": "ball", "radius": 2.0, "size": [3, 4]}
    assert recipe.check(Whole, recipe.to_plain(whole)) == whole


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"sed": 1}, "recipe-key", "unknown key sed .*did you mean seed"),
        ({"inner": {"lr": "x"}}, "recipe-value", 'inner.lr: expected a number, got "x"'),
        ({"inner": {"lr": -1}}, "recipe-value", "inner.lr: expected a number above 0, got -1"),
        ({"inner": 3}, "recipe-value", "inner: expected a mapping, got 3"),
        ({"seed": 1.5}, "recipe-value", "seed: expected a whole number"),
        ({"seed": "1"}, "recipe-value", "seed: expected a whole number"),
        ({"part": "bal"}, "recipe-name", "nothing is registered as 'bal' .*did you mean ball"),
        ({"part": {"name": "ball", "radus": 1}}, "recipe-key", "unknown key part.radus .*did you mean radius"),
        ({"part": {"name": "ball", "centre": 1}}, "recipe-key", "unknown key part.centre"),
        ({"part": {"name": "ball", "size": [1]}}, "recipe-value", "part.size"),
        ({"part": {"name": "os:system"}}, "recipe-class", "must be a subclass of"),
        ({"part": {"name": "no.such:Thing"}}, "recipe-class", "cannot load no.such:Thing"),
        ({"part": {"radius": 1}}, "recipe-value", "expected a name"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says) as caught:
        recipe.check(Whole, {**GOOD, **change}, "r.yaml")
    assert caught.value.code == code
    assert caught.value.path == "r.yaml"
    assert caught.value.exit_code == 2


def test_a_missing_key_is_named() -> None:
    with pytest.raises(RecipeError, match="the key out is missing"):
        recipe.check(Whole, {"part": "ball"})


def test_a_class_of_the_users_own_that_fills_the_contract() -> None:
    whole = recipe.check(Whole, {**GOOD, "part": {"name": f"{__name__}:Ball", "radius": 3}})
    assert whole.part.build(0).radius == 3.0


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [ls]",
        "a: !python/name:os.system x",
        "a: !!set {x}",
        "a: &x 1\nb: *x",
    ],
)
def test_p47_a_recipe_names_no_code(text: str) -> None:
    with pytest.raises(IntegrityError, match="not allowed") as caught:
        parse_yaml(text, "r.yaml")
    assert (caught.value.code, caught.value.exit_code) == ("recipe-unsafe", 4)


def test_p47_keys_that_other_programs_call_are_refused() -> None:
    with pytest.raises(IntegrityError, match="_target_: a recipe cannot name code"):
        recipe.with_overrides({}, ["part={_target_: os.system}"])


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: 1\na: 2", "stands twice"), ("a: [1", "line 1"), ("? [1]\n: 2", "plain value"), ("[" * 5000, ".")],
)
def test_broken_yaml_is_one_error(text: str, says: str) -> None:
    with pytest.raises(MedsslError, match=says):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("3", 3), ("1.5", 1.5), ("0x10", 16), ("'5'", "5"), ("2026-01-02", "2026-01-02"), ("-3", -3)],
)
def test_numbers_are_numbers(text: str, value: object) -> None:
    got = parse_yaml(f"a: {text}")["a"]
    assert got == value
    assert type(got) is type(value)


def test_an_override_needs_an_equals_sign() -> None:
    with pytest.raises(RecipeError, match=r"key\.path=value"):
        recipe.with_overrides({}, ["optim.lr"])


def test_the_signature_is_the_schema() -> None:
    schema = recipe.json_schema(Whole)
    assert schema["required"] == ["out", "part"]
    assert schema["properties"]["out"]["description"] == "the folder."
    ball = schema["properties"]["part"]["anyOf"][0]
    assert ball["properties"]["radius"] == {
        "default": 1.0,
        "description": "in voxels.",
        "exclusiveMinimum": 0,
        "type": "number",
    }
    assert "centre" not in ball["properties"]
