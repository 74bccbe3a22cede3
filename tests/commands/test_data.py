"""The data verbs."""

from __future__ import annotations

import json

import pytest

from medssl.commands.data import fetch_data, list_data
from medssl.errors import ResourceError, UsageError


def test_list_data_is_plain():
    cards = json.loads(json.dumps(list_data()))
    assert [card["name"] for card in cards] == sorted(card["name"] for card in cards)
    assert all(card["licence"] and card["traps"] for card in cards)


def test_fetching_phantoms_needs_no_network(tmp_path):
    result = fetch_data("phantoms", cache=tmp_path)
    json.dumps(result)
    assert result["manifest"] == str(tmp_path / "phantoms" / "phantoms.csv")
    assert result["scans"] == 9


def test_what_cannot_be_fetched(tmp_path):
    with pytest.raises(UsageError, match="no dataset card 'hippo'"):
        fetch_data("hippo", cache=tmp_path)
    with pytest.raises(ResourceError, match="cannot be fetched by a program"):
        fetch_data("hippocampus", cache=tmp_path)
