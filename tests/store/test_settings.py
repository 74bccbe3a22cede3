from __future__ import annotations

import json

import pytest

from medssl.errors import RecipeError
from medssl.store.settings import StoreSettings


def test_contract_is_plain_and_comes_back() -> None:
    settings = StoreSettings(orientation="LPS", spacing_mm=(1, 2, 3), window_hu=(-175, 250), percentiles=(1, 99))
    assert StoreSettings.from_contract(json.loads(json.dumps(settings.contract()))) == settings


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"orientation": "RAR"}, "one side of each axis"),
        ({"orientation": "RA"}, "one side of each axis"),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "three lengths above 0"),
        ({"spacing_mm": "mean"}, "median or null"),
        ({"window_hu": (250.0, -175.0)}, "two rising numbers"),
        ({"percentiles": (50.0, 101.0)}, "from 0 to 100"),
    ],
)
def test_senseless_settings_are_refused(given: dict[str, object], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        StoreSettings(**given)  # type: ignore[arg-type]


def test_the_window_is_for_ct_and_rows_without_modality() -> None:
    settings = StoreSettings(window_hu=(-175, 250))
    assert [settings.windowed(name) for name in ("CT", "ct", "", "MR", "T1")] == [True, True, True, False, False]
    assert not StoreSettings().windowed("CT")
