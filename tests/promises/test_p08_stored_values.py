"""P8: rescale slice by slice and frame by frame, sign and unused bits, no wraparound; a slope that kills is refused."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from medssl.errors import MedsslError
from medssl.io.read import read
from tests.promises.series import (
    AXIAL,
    ORIGIN,
    SPACING,
    SYNTAXES,
    assert_same,
    enhanced,
    item,
    names_in,
    refusal,
    save,
    save_one,
    set_pixels,
    slices,
    truth,
    voxels,
)


def test_p08_slope_and_intercept_slice_by_slice(tmp_path):
    # as PET scanners do
    slopes, intercepts = np.array([0.5, 2.0, 1.25, 3.0]), np.array([-100.0, 0.0, 7.5, -1024.0])

    def rescale(k, one):
        one.RescaleSlope, one.RescaleIntercept = slopes[k], intercepts[k]

    wanted = voxels() * slopes + intercepts
    assert_same(read(save(slices(change=rescale), tmp_path / "s")), wanted, truth())


@pytest.mark.parametrize("slope", [1e-6, 1e-3, 0.0234375, 7e4, -1.0, -0.5])
def test_p08_slopes_of_any_size_keep_their_digits(tmp_path, slope):
    wanted = voxels() * slope
    scan = read(save(slices(RescaleSlope=slope), tmp_path / "s"))
    np.testing.assert_allclose(scan.data[0], wanted, rtol=1e-6)


def test_p08_only_one_slice_has_an_intercept(tmp_path):
    def one_of_four(k, one):
        if k == 2:
            one.RescaleIntercept = -1024
        else:
            del one.RescaleSlope, one.RescaleIntercept

    wanted = voxels() + np.array([0, 0, -1024, 0])
    assert_same(read(save(slices(change=one_of_four), tmp_path / "s")), wanted, truth())


@pytest.mark.parametrize(
    ("dtype", "intercept"),
    [(np.uint16, -1024), (np.uint8, -1024), (np.int16, -32000), (np.int16, 32000), (np.uint16, 60000), (np.int8, 1000)],
)
def test_p08_nothing_wraps_around(tmp_path, dtype, intercept):
    stored = voxels(dtype=dtype)
    stored[0, 0, 0], stored[1, 0, 0] = np.iinfo(dtype).min, np.iinfo(dtype).max
    scan = read(save(slices(stored, RescaleIntercept=intercept), tmp_path / "s"))
    assert_same(scan, stored.astype(np.float64) + intercept, truth())


def test_p08_large_unsigned_values_stay_positive(tmp_path):
    stored = voxels(dtype=np.uint16) + np.uint16(65000)
    assert_same(read(save(slices(stored), tmp_path / "s")), stored.astype(float), truth())


def test_p08_thirty_two_bits_do_not_go_through_sixteen(tmp_path):
    stored = voxels(dtype=np.uint32) * np.uint32(30_000_000)
    scan = read(save(slices(stored), tmp_path / "s"))
    np.testing.assert_allclose(scan.data[0].astype(float), stored.astype(float), rtol=1e-6)


def test_p08_the_sign_may_differ_from_slice_to_slice(tmp_path):
    # some exports write air as signed in some slices only
    wanted = np.zeros((6, 5, 4))

    def change(k, one):
        plane = voxels()[:, :, k].T.astype(np.int64) + (40000 if k % 2 else -1000)
        wanted[:, :, k] = plane.T
        set_pixels(one, plane.astype(np.uint16 if k % 2 else np.int16))

    assert_same(read(save(slices(change=change), tmp_path / "s")), wanted, truth())


@pytest.mark.parametrize("kinds", [(np.uint8, np.uint16), (np.int16, np.int32), (np.uint8, np.int16)])
def test_p08_the_width_may_differ_from_slice_to_slice(tmp_path, kinds):
    wanted = np.zeros((6, 5, 4))

    def change(k, one):
        plane = voxels()[:, :, k].T.astype(kinds[k % 2])
        wanted[:, :, k] = plane.T
        set_pixels(one, plane)

    assert_same(read(save(slices(change=change), tmp_path / "s")), wanted, truth())


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
@pytest.mark.parametrize(("bits", "high"), [(12, 11), (10, 9), (12, 15), (12, 13), (15, 14), (1, 0)])
@pytest.mark.parametrize("signed", [0, 1])
def test_p08_unused_bits_hold_anything(tmp_path, bits, high, signed, syntax):
    low = -(2 ** (bits - 1)) if signed else 0
    values = voxels((3, 2, 4), np.int64) % (2**bits) + low
    shift = high - bits + 1

    def garbage(k, one):
        stored = (values[:, :, k].T & (2**bits - 1)) << shift
        mask = ((2**bits - 1) << shift) & 0xFFFF
        noise = np.random.default_rng(k).integers(0, 65536, stored.shape)
        set_pixels(one, ((stored & mask) | (noise & ~mask)).astype(np.uint16))
        one.BitsStored, one.HighBit, one.PixelRepresentation = bits, high, signed

    scan = read(save(slices(values.astype(np.int16), change=garbage), tmp_path / "s", syntax=syntax))
    assert_same(scan, values, truth())


def test_p08_bits_stored_may_differ_from_slice_to_slice(tmp_path):
    def change(k, one):
        bits = (12, 16, 14, 13)[k]
        one.BitsStored, one.HighBit = bits, bits - 1

    assert_same(read(save(slices(change=change), tmp_path / "s")), voxels(), truth())


@pytest.mark.parametrize(
    "tags",
    [
        {"BitsStored": 17},
        {"BitsStored": 0},
        {"HighBit": 16},
        {"HighBit": 3},
        {"BitsAllocated": 12},
        {"BitsAllocated": 0},
        {"BitsAllocated": 24},
        {"PixelRepresentation": 2},
        {"PixelRepresentation": None},
        {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0},
        {"SamplesPerPixel": 2},
        {"SamplesPerPixel": 0},
    ],
)
def test_p08_bits_that_cannot_be_are_refused(tmp_path, tags):
    error = refusal(save(slices(**tags), tmp_path / "s"))
    assert error.code in ("corrupt", "not-a-volume", "values", "truncated", "format", "codec")
    assert names_in(error, ".dcm")


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("text", ["", "NaN", "inf", "-inf", "1e999", "abc", "1,5", "1\\2", "1e300"])
def test_p08_a_rescale_that_is_no_number_is_refused(tmp_path, keyword, text):
    folder = save(slices(), tmp_path / "s")
    path = folder / "IM14.dcm"
    mark = {"RescaleSlope": b"\x28\x00\x53\x10DS", "RescaleIntercept": b"\x28\x00\x52\x10DS"}[keyword]
    content = path.read_bytes()
    at = content.index(mark)
    value = text.encode() + b" " * (len(text) % 2)
    size = int.from_bytes(content[at + 6 : at + 8], "little")
    path.write_bytes(content[: at + 6] + len(value).to_bytes(2, "little") + value + content[at + 8 + size :])
    error = refusal(folder)
    assert error.code == "values"
    assert names_in(error, keyword if text != "1e300" else ".dcm")


@pytest.mark.parametrize("slope", [0, 0.0, "0E0", "-0"])
@pytest.mark.parametrize("where", [(0, 1, 2, 3), (2,)], ids=["all", "one"])
def test_p08_a_slope_of_zero_is_refused(tmp_path, slope, where):
    def change(k, one):
        if k in where:
            one.RescaleSlope = slope

    error = refusal(save(slices(change=change), tmp_path / "s"))
    assert error.code == "values"
    assert names_in(error, "RescaleSlope", ".dcm")


def test_p08_a_slope_without_intercept_says_so_or_is_applied(tmp_path):
    folder = save(slices(RescaleSlope=2.0, RescaleIntercept=None), tmp_path / "s")
    try:
        scan = read(folder)
    except MedsslError:
        assert names_in(refusal(folder), "RescaleIntercept")
    else:
        assert_same(scan, voxels() * 2.0, truth())


def lut(descriptor, data, bits=16):
    """A ModalityLUTSequence."""
    out = item(LUTDescriptor=descriptor, ModalityLUTType="HU", LUTData=data)
    out[0]["LUTDescriptor"].VR = "US" if descriptor[1] >= 0 else "SS"
    out[0]["LUTData"].VR = "OW" if isinstance(data, bytes) else "US"
    return out


def test_p08_a_modality_table_is_applied_or_refused_by_name(tmp_path):
    table = (np.arange(200) * 7 + 13).astype("<u2")

    def change(k, one):
        del one.RescaleSlope, one.RescaleIntercept
        one.ModalityLUTSequence = lut([200, 0, 16], table.tobytes())

    stored = voxels(dtype=np.uint16)
    folder = save(slices(stored, change=change), tmp_path / "s")
    try:
        scan = read(folder)
    except MedsslError:
        assert "lookup table" in refusal(folder).reason
    else:
        assert_same(scan, table[stored].astype(float), truth())


def test_p08_values_beyond_a_modality_table_take_its_ends(tmp_path):
    # PS3.3 C.11.1.1.1: below the first mapped value its first entry, beyond the last its last
    table = (np.arange(50) * 3 + 100).astype("<u2")

    def change(k, one):
        del one.RescaleSlope, one.RescaleIntercept
        one.ModalityLUTSequence = lut([50, 20, 16], table.tobytes())

    stored = voxels(dtype=np.uint16)
    folder = save(slices(stored, change=change), tmp_path / "s")
    try:
        scan = read(folder)
    except MedsslError:
        assert "lookup table" in refusal(folder).reason
    else:
        assert_same(scan, table[np.clip(stored.astype(int) - 20, 0, 49)].astype(float), truth())


@pytest.mark.parametrize(
    "table",
    [
        lambda: Items([]),
        lambda: Items([Dataset()]),
        lambda: lut([200, 0, 16], b"\0\0" * 10),
        lambda: lut([0, 0, 16], b"\0\0" * 200),
    ],
)
def test_p08_a_broken_modality_table_is_never_guessed(tmp_path, table):
    def change(k, one):
        del one.RescaleSlope, one.RescaleIntercept
        one.ModalityLUTSequence = table()

    folder = save(slices(voxels(dtype=np.uint16), change=change), tmp_path / "s")
    try:
        scan = read(folder)
    except MedsslError:
        assert names_in(refusal(folder), ".dcm")
    else:
        # an empty sequence says nothing
        assert_same(scan, voxels(), truth())


@pytest.mark.parametrize("padding", [-2000, 0, 5])
def test_p08_padding_values_are_kept_as_they_are_stored(tmp_path, padding):
    stored = voxels()
    stored[0, :, :] = padding

    def change(k, one):
        one.add_new((0x0028, 0x0120), "SS", padding)

    assert_same(read(save(slices(stored, change=change, RescaleIntercept=10), tmp_path / "s")), stored + 10.0, truth())


def test_p08_smallest_value_of_either_kind_changes_nothing(tmp_path):
    # in implicit files nobody says whether these are signed
    def change(k, one):
        for element in (0x0106, 0x0107, 0x0108, 0x0109, 0x0110, 0x0111, 0x0120):
            one.add_new((0x0028, element), "SS", -7)

    stored = voxels() - np.int16(60)
    for name, syntax in SYNTAXES.items():
        assert_same(read(save(slices(stored, change=change), tmp_path / name, syntax=syntax)), stored, truth())


def test_p08_inverted_grey_levels_stay_as_stored_with_a_flag(tmp_path):
    scan = read(save(slices(PhotometricInterpretation="MONOCHROME1"), tmp_path / "s"))
    assert_same(scan, voxels(), truth())
    assert "monochrome1" in scan.flags


def test_p08_windows_and_value_of_interest_tables_are_for_screens(tmp_path):
    def change(k, one):
        one.WindowCenter, one.WindowWidth = [40, 300], [400, 1500]
        one.VOILUTFunction = "SIGMOID"
        one.VOILUTSequence = lut([200, 0, 16], b"\1\0" * 200)

    assert_same(read(save(slices(change=change), tmp_path / "s")), voxels(), truth())


def test_p08_slopes_frame_by_frame(tmp_path):
    def change(k, group):
        group.PixelValueTransformationSequence = item(RescaleSlope=1 + k, RescaleIntercept=-10 * k, RescaleType="US")

    save_one(enhanced(order=[2, 0, 3, 1], change=change), tmp_path / "a.dcm")
    wanted = voxels() * (1 + np.arange(4)) - 10 * np.arange(4)
    assert_same(read(tmp_path / "a.dcm"), wanted, truth())


@pytest.mark.parametrize("slope", [0, None])
def test_p08_a_slope_of_zero_in_one_frame_is_refused(tmp_path, slope):
    def change(k, group):
        group.PixelValueTransformationSequence = item(RescaleSlope=slope if k == 2 else 1, RescaleIntercept=0)

    save_one(enhanced(change=change), tmp_path / "a.dcm")
    error = refusal(tmp_path / "a.dcm")
    assert error.code == "values"
    assert names_in(error, "RescaleSlope", "a.dcm")


def dose(scaling, stored, offsets=None):
    """An RT dose of these frames."""
    one = slices(stored)[0]
    one.SOPClassUID, one.Modality = "1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE"
    one.DoseUnits, one.DoseType, one.DoseSummationType, one.DoseGridScaling = "GY", "PHYSICAL", "PLAN", scaling
    del one.RescaleSlope, one.RescaleIntercept
    one.ImageOrientationPatient, one.PixelSpacing, one.ImagePositionPatient = list(AXIAL), list(SPACING), list(ORIGIN)
    one.NumberOfFrames = stored.shape[2]
    one.FrameIncrementPointer = 0x3004000C
    one.GridFrameOffsetVector = [3.0 * k for k in range(stored.shape[2])] if offsets is None else offsets
    one.PixelData = b"".join(stored[:, :, k].T.tobytes() for k in range(stored.shape[2]))
    return one


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_p08_dose_is_scaled_or_refused_by_name(tmp_path, dtype):
    stored = voxels(dtype=dtype)
    save_one(dose(0.00025, stored), tmp_path / "d.dcm")
    try:
        scan = read(tmp_path / "d.dcm")
    except MedsslError:
        assert "dose" in refusal(tmp_path / "d.dcm").reason
    else:
        np.testing.assert_allclose(scan.data.max(), stored.max() * 0.00025, rtol=1e-6)
        assert_same(scan, stored * 0.00025, truth())


@pytest.mark.parametrize(
    ("offsets", "z"),
    [([0.0, 3.0, 6.0, 9.0], 3.0), ([0.0, -3.0, -6.0, -9.0], -3.0), ([30.0, 33.0, 36.0, 39.0], 3.0)],
    ids=["relative", "downward", "absolute"],
)
def test_p08_dose_planes_lie_where_the_offsets_say(tmp_path, offsets, z):
    stored = voxels(dtype=np.uint16)
    save_one(dose(0.5, stored, offsets), tmp_path / "d.dcm")
    try:
        scan = read(tmp_path / "d.dcm")
    except MedsslError:
        refusal(tmp_path / "d.dcm")
    else:
        assert_same(scan, stored * 0.5, truth(step=(0, 0, z)))


@pytest.mark.parametrize("scaling", [0, None, "NaN", "inf", -1.0])
def test_p08_a_dose_scaling_that_is_none_is_refused(tmp_path, scaling):
    one = dose(1.0, voxels(dtype=np.uint16))
    if scaling is None:
        del one.DoseGridScaling
    else:
        one.DoseGridScaling = 0.125 if isinstance(scaling, str) else scaling
    save_one(one, tmp_path / "d.dcm")
    if isinstance(scaling, str):
        content = (tmp_path / "d.dcm").read_bytes()
        (tmp_path / "d.dcm").write_bytes(content.replace(b"0.125 ", scaling.encode().ljust(6), 1))
    error = refusal(tmp_path / "d.dcm")
    assert error.code in ("values", "not-a-volume")


@pytest.mark.parametrize("offsets", [[0.0, 3.0, 6.0], [0.0, 3.0, 6.0, 12.0], [0.0, 0.0, 0.0, 0.0], None])
def test_p08_dose_offsets_that_do_not_fit_are_refused(tmp_path, offsets):
    one = dose(1.0, voxels(dtype=np.uint16), [0.0] * 4 if offsets is None else offsets)
    if offsets is None:
        del one.GridFrameOffsetVector
    save_one(one, tmp_path / "d.dcm")
    assert refusal(tmp_path / "d.dcm").code in ("slices", "geometry", "not-a-volume", "corrupt")
