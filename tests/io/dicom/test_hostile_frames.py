"""Damaged multi-frame headers: every one is read or refused by a documented code, quickly and without a crash (P54)."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import CODES, MedsslError
from medssl.io.read import read_all
from tests.io.dicom.test_dose import dose
from tests.io.dicom.test_mosaic import mosaic
from tests.io.dicom.test_nuclear import nuclear
from tests.io.multi_frames import write_enhanced


@pytest.mark.parametrize("write", [lambda at: write_enhanced(at, range(4)), mosaic, dose, nuclear])
def test_p54_damaged_headers_are_read_or_refused(tmp_path, write):
    path = write(tmp_path / "s")
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    refusals = []
    for n in range(120):
        damaged = bytearray(whole)
        # behind the file's own meta information; the last bytes are pixels
        for at in rng.integers(340, len(whole) - 240, 1 + n % 4):
            damaged[at] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_all(path)
        except MedsslError as error:
            refusals.append(error)
    assert refusals
    assert {error.code for error in refusals} <= CODES.keys() - {"internal"}
    assert all(error.path is not None for error in refusals)
