"""P54: series with a damaged DICOM file, in every way of writing it, are refused by name or read whole."""

from __future__ import annotations

import pytest

from tests.fuzz.cases import DICOM
from tests.fuzz.run import hunts

COUNT = 60


@pytest.fixture(scope="module")
def found():
    return hunts(DICOM, COUNT, 0, 120)


@pytest.mark.parametrize("name", list(DICOM))
def test_p54_damaged_dicom_is_refused_by_name_or_read_whole(found, name):
    assert found[name]["wrong"] == []
    assert found[name]["refused"] + found[name]["read"] == COUNT
    assert found[name]["refused"] > COUNT // 3
