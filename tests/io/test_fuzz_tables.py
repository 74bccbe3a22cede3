"""P54: damaged manifests and recipes are refused by name, or say something that is understood."""

from __future__ import annotations

import pytest

from tests.fuzz.cases import TABLES
from tests.fuzz.run import hunts

COUNT = 120


@pytest.fixture(scope="module")
def found():
    return hunts(TABLES, COUNT, 0, 120)


@pytest.mark.parametrize("name", list(TABLES))
def test_p54_damaged_tables_are_refused_by_name_or_understood(found, name):
    assert found[name]["wrong"] == []
    assert found[name]["refused"] + found[name]["read"] == COUNT
    assert found[name]["refused"] > COUNT // 5
