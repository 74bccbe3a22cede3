from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medssl import recipe
from medssl.errors import RecipeError
from medssl.views.elastic import Elastic
from medssl.views.settings import ViewSettings
from medssl.views.spatial import draw_spatial
from medssl.views.view import Spatial


def test_a_recipe_says_what_is_drawn() -> None:
    said = {"rotate_deg": [0, 0, 15], "stretch": [1, 1, 1.3], "flip": [0, 0.5, 0], "scale": [0.8, 1.2]}
    settings = recipe.check(ViewSettings, {**said, "elastic": {"p": 1, "amplitude_mm": [2, 4], "spacing_mm": 20}})
    assert settings.elastic == Elastic(1.0, (2.0, 4.0), 20.0)
    # the crop zooms
    assert settings.spatial == Spatial(
        (0.0, 0.5, 0.0), (0.0, 0.0, 15.0), stretch=(1.0, 1.0, 1.3), elastic=settings.elastic
    )
    assert settings.turns.stretch == (1.0, 1.0, 1.0)
    assert settings.turns.elastic == settings.elastic
    drawn = draw_spatial(settings.spatial, np.random.default_rng(0))
    assert set(drawn) - {"flip"} == {"rotate_deg", "stretch", "elastic"}
    assert recipe.check(ViewSettings, recipe.to_plain(settings)) == settings


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"rotate_deg": 200}, "rotate_deg: expected at most 180"),
        ({"rotate_deg": [0, 15]}, "rotate_deg: expected 3 values"),
        ({"stretch": [1, 1, 0.5]}, "stretch.2: expected at least 1"),
        ({"elastic": {"amplitude_mm": [0, 20]}}, "elastic.amplitude_mm: expected at most 0.36 of spacing_mm, 11.52"),
        ({"elastic": {"amplitude_mm": [3, 2]}}, "elastic.amplitude_mm: expected two rising numbers"),
        ({"elastic": {"spacing": 20}}, "unknown key elastic.spacing .*did you mean spacing_mm"),
        ({"elastic": 0.3}, "elastic: expected a mapping"),
        ({"crop": [100000, 100000, 100000]}, "crop: expected at most 1073741824 voxels"),
        ({"scale": [1.2, 0.8]}, "scale: expected two rising numbers"),
    ],
)
def test_what_makes_no_sense_is_named(said: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        recipe.check(ViewSettings, said)
