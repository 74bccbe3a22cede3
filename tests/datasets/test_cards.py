"""Dataset cards: complete, and refused when they are not."""

from __future__ import annotations

import pytest
import yaml

from medssl.datasets.cards import copy_card, data_folder, list_cards, load_card
from medssl.datasets.label_groups import GROUPS
from medssl.datasets.sample_sources import PINS, SAMPLES
from medssl.errors import InputError, UsageError


def test_the_cards_are_complete():
    cards = {card.name: card for card in list_cards()}
    assert set(cards) >= {"samples", "phantoms", "hippocampus"}
    assert cards["samples"].classes == cards["phantoms"].classes == GROUPS
    assert cards["samples"].n == len(SAMPLES)
    for pin in PINS:
        assert f"{pin.name} {pin.version}" in cards["samples"].version
    assert cards["hippocampus"].classes == {1: "anterior", 2: "posterior"}
    assert any("1.7 million" in trap for trap in cards["hippocampus"].traps)


def test_no_card_names_a_host():
    for card in list_cards():
        assert "://" not in str(card.as_dict())


def test_an_unknown_card():
    with pytest.raises(UsageError, match="no dataset card 'sample'") as caught:
        load_card("sample")
    assert caught.value.hint == "did you mean samples?"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licence": None}, r"missing \['licence'\]"),
        ({"colour": "red"}, r"not known \['colour'\]"),
        ({"n": "many"}, "n has a wrong type"),
        ({"classes": {"liver": 1}}, "classes has a wrong type"),
        ({"traps": "none"}, "traps has a wrong type"),
        ({"title": " "}, "title has a wrong type"),
        ({"name": "other"}, "name must be its file's"),
    ],
)
def test_a_wrong_card_is_refused(tmp_path, change, message):
    data = yaml.safe_load((data_folder() / "hippocampus.yaml").read_text())
    data = {key: value for key, value in {**data, **change}.items() if value is not None}
    (tmp_path / "hippocampus.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match=message):
        load_card("hippocampus", tmp_path)


def test_a_card_travels_with_its_rows(tmp_path):
    assert copy_card("samples", tmp_path).read_bytes() == (data_folder() / "samples.yaml").read_bytes()
