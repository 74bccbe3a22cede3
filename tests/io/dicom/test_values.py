"""Stored pixels to real values: slope, intercept, modality table; whole numbers stay whole and never wrap (P8)."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.lut import modality_table
from medssl.io.dicom.values import linear
from medssl.io.read import read
from tests.io.scans import marked, write_slices


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2, 0), (-1, 0), (3, 70000), (1, 2**31), (-7, -5)])
def test_p08_whole_slopes_stay_whole_and_never_wrap(kind, slope, intercept):
    ends = np.iinfo(kind)
    stored = np.array([ends.min, ends.min + 1, 0, 1, ends.max], dtype=kind)
    out = linear(stored, float(slope), float(intercept))
    assert out.dtype.kind == "i"
    assert [int(value) for value in out] == [int(value) * slope + intercept for value in stored]


def test_p08_other_slopes_are_rounded_once():
    stored = np.array([0, 1, 4095, 65535], dtype=np.uint16)
    wanted = (stored.astype(np.float64) * 0.1 + 1e4).astype(np.float32)
    np.testing.assert_array_equal(linear(stored, 0.1, 1e4), wanted)


def _slope(slope):
    from pydicom.dataset import Dataset

    out = Dataset()
    out.RescaleSlope, out.RescaleIntercept = slope, 0
    return out


def _table(data, first=0, entries=None, bits=16, count=None):
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    entries = list(range(100, 340)) if entries is None else entries
    item.add_new("LUTDescriptor", "US", [len(entries) if count is None else count, first & 0xFFFF, bits])
    item.ModalityLUTType = "HU"
    item.add_new("LUTData", "OW" if isinstance(entries, bytes) else "US", entries)
    data.ModalityLUTSequence = Sequence([item])
    del data.RescaleSlope, data.RescaleIntercept


@pytest.mark.parametrize("implicit", [False, True])
def test_p08_a_modality_table_is_applied_and_clamps(tmp_path, implicit):
    from pydicom import dcmread
    from pydicom.uid import ImplicitVRLittleEndian

    # stored values are 0 to 119, moved down by 60: the table starts at −50 and ends at −11
    def change(n, data):
        data.PixelData = (marked((6, 5, 4))[:, :, n].T - 60).astype("<i2").tobytes()
        _table(data, first=-50, entries=[1000 + 3 * step for step in range(40)])

    folder = write_slices(tmp_path / "s", change=change)
    if implicit:
        for path in folder.iterdir():
            data = dcmread(path)
            data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            data.save_as(path, implicit_vr=True, little_endian=True)
    wanted = 1000 + 3 * np.clip(marked((6, 5, 4)) - 60 + 50, 0, 39)
    np.testing.assert_array_equal(read(folder).data[0], wanted)


def test_p08_eight_bit_entries_are_read_packed_and_spread():
    from pydicom.dataset import Dataset

    for packed in (bytes([9, 8, 7, 0]), bytes([9, 0, 8, 0, 7, 0])):
        data = Dataset()
        data.PixelRepresentation, data.RescaleSlope, data.RescaleIntercept = 0, 1, 0
        _table(data, first=4, entries=packed, bits=8, count=3)
        np.testing.assert_array_equal(modality_table(data, "x")(np.array([0, 4, 5, 6, 200])), [9, 9, 8, 7, 7])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: _table(data, count=7), "240 entries, LUTDescriptor says 7"),
        (lambda data: _table(data, bits=40), "40 bits"),
        (lambda data: (_table(data), data.update(_slope(2))), "both a modality lookup table and"),
    ],
)
def test_p08_a_senseless_table_is_refused_by_file(tmp_path, change, message):
    folder = write_slices(tmp_path / "s", change=lambda n, data: change(data) if n == 2 else None)
    with pytest.raises(InputError, match=rf"IM03[.]dcm: .*{message}") as caught:
        read(folder)
    assert caught.value.code == "values"


@pytest.mark.parametrize(
    ("slope", "intercept", "message"),
    [
        (0, 0, "RescaleSlope is 0"),
        ("INF", 0, "finite"),
        ("NAN", 0, "finite"),
        (1, "NAN", "finite"),
        (1, None, "Intercept"),
    ],
)
def test_p08_a_senseless_slope_is_refused_by_file(tmp_path, slope, intercept, message):
    from pydicom import config

    def change(n, data):
        data.RescaleSlope, data.RescaleIntercept = slope, intercept

    config.settings.writing_validation_mode = config.IGNORE
    try:
        folder = write_slices(tmp_path / "s", change=change)
    finally:
        config.settings.writing_validation_mode = config.RAISE
    with pytest.raises(InputError, match=rf"[.]dcm: .*{message}"):
        read(folder)


def test_p08_slices_of_different_types_meet_in_a_wider_one(tmp_path):
    def change(n, data):
        data.PixelRepresentation = 0
        data.RescaleSlope, data.RescaleIntercept = 1, 40000 * (n % 2)

    scan = read(write_slices(tmp_path / "s", change=change))
    assert scan.data.dtype == np.int32
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 4), int) + 40000 * (np.arange(4) % 2))
