"""The methods' constructors are the recipe's schema."""

import inspect

import pytest

from medssl.errors import RecipeError
from medssl.methods import METHODS
from medssl.recipe import From, choose, json_schema, load_class, to_plain
from tests.methods.tiny import SETTINGS

METHOD = From(METHODS, "medssl.methods.contract:Method", injected=("encoder",))


@pytest.mark.parametrize("name", METHODS)
def test_defaults_and_tiny_settings_are_valid(name):
    assert choose(METHOD, name).target is load_class(METHODS[name])
    assert choose(METHOD, {"name": name, **to_plain(SETTINGS[name])}).settings == SETTINGS[name]


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_is_explained_and_there_are_seven_at_most(name):
    kind = load_class(METHODS[name])
    settings = [key for key in inspect.signature(kind).parameters if key != "encoder"]
    assert 0 < len(settings) <= 7
    properties = json_schema(kind, injected=("encoder",))["properties"]
    assert set(properties) == set(settings)
    assert all(properties[key].get("description") for key in settings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "simclr", "temperature": 0}, "part.temperature: expected a number above 0, got 0"),
        ({"name": "spark", "ratio": 1.0}, "part.ratio: expected a number below 1, got 1.0"),
        ({"name": "mae", "decoder_norm": "batch"}, "unknown key part.decoder_norm"),
        ({"name": "voco", "grid": [3, 3]}, "part.grid"),
        ({"name": "voco", "grid": [3, 0, 1]}, "part.grid.1: expected at least 1, got"),
        ({"name": "voco", "form": "v2"}, "part.form: expected 'released', 'paper' or 'log'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, reason):
    with pytest.raises(RecipeError, match=reason):
        choose(METHOD, settings)
