"""P6: a geometry tag that is missing, empty, not a number or senseless is refused by its name and its file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medssl.io.read import read
from tests.promises.series import (
    ORIGIN,
    assert_same,
    enhanced,
    fresh,
    item,
    names_in,
    refusal,
    save,
    save_one,
    slices,
    truth,
    turned,
    voxels,
)

POSITION, ORIENTATION, SPACING = "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"
TAGS = {POSITION: 3, ORIENTATION: 6, SPACING: 2}
NUMBER_CODES = {POSITION: (0x0020, 0x0032), ORIENTATION: (0x0020, 0x0037), SPACING: (0x0028, 0x0030)}


def written(folder, changes, keyword, text):
    """A series in which the slices ``changes`` have this text, written with its right VR."""
    made = slices()
    save(made, folder)
    for n in changes:
        path = folder / f"IM{(7 * n) % 97:02d}.dcm"
        patch(path, keyword, text)
    return folder


def patch(path, keyword, text):
    """Exchange the value of a DS element in the bytes of an explicit little-endian file."""
    content = path.read_bytes()
    group, element = NUMBER_CODES[keyword]
    mark = group.to_bytes(2, "little") + element.to_bytes(2, "little") + b"DS"
    at = content.index(mark)
    size = int.from_bytes(content[at + 6 : at + 8], "little")
    value = text.encode("latin-1") if isinstance(text, str) else text
    value += b" " * (len(value) % 2)
    path.write_bytes(content[: at + 6] + len(value).to_bytes(2, "little") + value + content[at + 8 + size :])


@pytest.mark.parametrize("where", [(0, 1, 2, 3), (2,)], ids=["all", "one"])
@pytest.mark.parametrize("keyword", TAGS)
def test_p06_a_missing_tag_is_named(tmp_path, keyword, where):
    def lacking(k, one):
        if k in where:
            delattr(one, keyword)

    error = refusal(save(slices(change=lacking), tmp_path / "s"))
    assert error.code == "geometry"
    assert names_in(error, keyword, "IM14.dcm" if where == (2,) else ".dcm")


@pytest.mark.parametrize("where", [(0, 1, 2, 3), (2,)], ids=["all", "one"])
@pytest.mark.parametrize("keyword", TAGS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "NaN",
        "nan\\nan\\nan\\nan\\nan\\nan",
        "inf",
        "1\\1e999\\1",
        "1,5\\2,5\\3,5",
        "abc\\1\\2",
        "1\\\\3",
        "\\\\",
        "1",
        "1\\2\\3\\4\\5\\6\\7",
        "0x10\\0x10\\0x10",
        "1_0\\1_0\\1_0",
        "\x00\x00\x00\x00",
        "１\\２\\３".encode(),
        b"\xff\xfe\xfd\xfc",
        "1" * 400,
        "--1\\1\\1",
    ],
)
def test_p06_text_that_is_no_number_is_refused(tmp_path, keyword, text, where):
    error = refusal(written(tmp_path / "s", where, keyword, text))
    assert error.code == "geometry"
    assert names_in(error, keyword)
    assert "IM" in str(error.path)


@pytest.mark.parametrize("spacing", [[0, 0.7], [1.9, 0], [-1.9, 0.7], [1.9, -0.7], [0, 0], [1e-9, 1e-9], [1e9, 1e9]])
def test_p06_spacing_that_is_no_length_is_refused(tmp_path, spacing):
    error = refusal(save(slices(PixelSpacing=spacing), tmp_path / "s"))
    assert error.code == "geometry"
    assert names_in(error, SPACING)


@pytest.mark.parametrize(
    "directions",
    [
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [1, 0, 0, -1, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [2, 0, 0, 0, 2, 0],
        [0.5, 0, 0, 0, 0.5, 0],
        [1, 0, 0, 0.7071, 0.7071, 0],
        [1, 0, 0, 0.05, 0.99875, 0],
        [1e5, 0, 0, 0, 1, 0],
    ],
)
def test_p06_directions_that_are_no_directions_are_refused(tmp_path, directions):
    error = refusal(save(slices(ImageOrientationPatient=directions), tmp_path / "s"))
    assert error.code == "geometry"
    assert names_in(error, ORIENTATION)


@pytest.mark.parametrize("digits", [4, 5, 6])
def test_p06_rounded_directions_are_taken(tmp_path, digits):
    directions = tuple(round(value, digits) for value in turned(31))
    across = np.cross(directions[:3], directions[3:]) * 3
    scan = read(save(slices(directions=directions, step=across), tmp_path / "s"))
    assert_same(scan, voxels(), truth(directions, across), tolerance=1e-2)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        (SPACING, "1.9000E+00\\7.0E-1"),
        (SPACING, " 1.9 \\ 0.7 "),
        (SPACING, "+1.9\\+.7"),
        (SPACING, "1.90000000000000000000000\\0.70000000000000000000000"),
        (SPACING, "1.9\\0.7\x00"),
        (ORIENTATION, "1\\0\\-0\\0\\1.\\0e0"),
        (ORIENTATION, "1.000000000000000000\\0.000000000000000000\\0\\0\\1\\-0.0000000000000000001"),
    ],
)
def test_p06_careless_but_clear_numbers_are_read(tmp_path, keyword, text):
    assert_same(read(written(tmp_path / "s", (0, 1, 2, 3), keyword, text)), voxels(), truth())


@pytest.mark.parametrize(
    "text", ["10.5\\-2.025E+1\\36.0000000000000000000", " 10.5\\ -20.25\\  36 ", "1.05e1\\-20.25\\36\x00"]
)
def test_p06_careless_but_clear_positions_are_read(tmp_path, text):
    assert_same(read(written(tmp_path / "s", (2,), POSITION, text)), voxels(), truth())


@pytest.mark.parametrize("value", [1e7, -1e8, 1e30])
def test_p06_a_position_miles_away_is_refused(tmp_path, value):
    error = refusal(save(slices(ImagePositionPatient=[0, 0, value]), tmp_path / "s"))
    assert error.code in ("geometry", "slices")


def test_p06_all_slices_at_the_origin_are_refused(tmp_path):
    # a viewer's export that wrote zeros
    error = refusal(save(slices(ImagePositionPatient=[0, 0, 0]), tmp_path / "s"))
    assert error.code == "slices"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Rows", 0), ("Columns", 0), ("Rows", None), ("Columns", None), ("BitsAllocated", None), ("BitsStored", None)],
)
def test_p06_a_matrix_that_is_not_told_is_refused(tmp_path, keyword, value):
    def change(k, one):
        if k == 1:
            delattr(one, keyword)
            if value is not None:
                setattr(one, keyword, value)

    error = refusal(save(slices(change=change), tmp_path / "s"))
    assert names_in(error, keyword, "IM07.dcm")


def test_p06_spacing_of_the_detector_is_no_spacing_of_the_body(tmp_path):
    def projected(k, one):
        one.ImagerPixelSpacing = one.PixelSpacing
        del one.PixelSpacing

    assert names_in(refusal(save(slices(change=projected), tmp_path / "s")), SPACING)


@pytest.mark.parametrize(
    "name",
    ["PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"],
)
@pytest.mark.parametrize("how", ["missing", "empty", "no value"])
def test_p06_a_frame_without_geometry_is_named(tmp_path, name, how):
    one = enhanced()
    holder = (
        one.PerFrameFunctionalGroupsSequence[2]
        if name == "PlanePositionSequence"
        else one.SharedFunctionalGroupsSequence[0]
    )
    delattr(holder, name)
    if how == "empty":
        setattr(holder, name, [])
    elif how == "no value":
        setattr(holder, name, item(ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None))
    save_one(one, tmp_path / "a.dcm")
    error = refusal(tmp_path / "a.dcm")
    assert error.code == "geometry"
    assert "a.dcm" in error.line()


def test_p06_a_frame_with_nan_position(tmp_path):
    one = enhanced()
    save_one(one, tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    at = content.index(b"10.5\\-20.25\\33.0")
    (tmp_path / "a.dcm").write_bytes(content[:at] + b"10.5\\-20.25\\NaN " + content[at + 16 :])
    error = refusal(tmp_path / "a.dcm")
    assert error.code == "geometry"
    assert names_in(error, POSITION)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keyword=st.sampled_from(list(TAGS)), n=st.integers(0, 3), data=st.data())
def test_p06_any_breach_of_one_tag_is_refused_or_harmless(tmp_path, keyword, n, data):
    text = data.draw(st.text(alphabet="0123456789.-+eE\\ nai,", max_size=30), label="value")
    folder = written(fresh(tmp_path / "s"), (n,), keyword, text)
    try:
        numbers = [float(part) for part in text.split("\\")]
    except ValueError:
        numbers = []
    spoken = {POSITION: [ORIGIN[0], ORIGIN[1], ORIGIN[2] + 3 * n], ORIENTATION: [1, 0, 0, 0, 1, 0], SPACING: [1.9, 0.7]}
    if len(numbers) == TAGS[keyword] and np.allclose(numbers, spoken[keyword], atol=1e-3):
        return
    error = refusal(folder)
    assert error.code in ("geometry", "slices", "several-volumes")
