"""P7: one slice that cannot be read refuses its series by name; what systems leave about is passed over."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medssl.errors import MedsslError
from medssl.io.read import read
from tests.promises.series import (
    PRIVATE,
    SYNTAXES,
    assert_same,
    enhanced,
    fresh,
    names_in,
    refusal,
    save,
    save_one,
    slices,
    truth,
    voxels,
)

VICTIM = "IM14.dcm"
"""The third slice."""


def series(folder, **options):
    return save(slices(**options), folder)


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
def test_p07_a_slice_cut_anywhere_is_named(tmp_path, syntax):
    folder = save(slices(), tmp_path / "s", syntax=syntax)
    whole = (folder / VICTIM).read_bytes()
    for size in {0, 1, 100, 128, 131, 132, 140, 200, 300, 500, len(whole) // 2, *range(len(whole) - 70, len(whole), 7)}:
        if size < len(whole):
            (folder / VICTIM).write_bytes(whole[:size])
            assert names_in(refusal(folder), VICTIM), size


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 4096, b"DICM" * 100, b"\0" * 128 + b"DICM", b"\xff" * 1000, b"<html>"]
)
def test_p07_a_slice_that_is_something_else_is_named(tmp_path, content):
    folder = series(tmp_path / "s")
    (folder / VICTIM).write_bytes(content)
    assert names_in(refusal(folder), VICTIM)


def test_p07_an_empty_file_in_the_middle_says_empty(tmp_path):
    folder = series(tmp_path / "s")
    (folder / VICTIM).write_bytes(b"")
    assert "empty" in refusal(folder).reason


@pytest.mark.parametrize("value", [None, b"", b"\0\0"])
def test_p07_a_slice_without_pixels_is_named(tmp_path, value):
    def change(k, one):
        if k == 2:
            del one.PixelData
            if value is not None:
                one.PixelData = value
                one["PixelData"].VR = "OW"

    error = refusal(save(slices(change=change), tmp_path / "s"))
    assert names_in(error, VICTIM, "pixel")


def test_p07_every_slice_without_pixels(tmp_path):
    error = refusal(save(slices(PixelData=None), tmp_path / "s"))
    assert names_in(error, "pixel", ".dcm")


@pytest.mark.parametrize("extra", [b"\0" * 2, b"\0" * 60, b"\xff" * 600, b"\x01\x02"])
def test_p07_more_pixels_than_the_header_says(tmp_path, extra):
    # one byte of padding is the standard's; anything else is doubtful, and never moves a voxel
    def change(k, one):
        if k == 2:
            one.PixelData = one.PixelData + extra

    folder = save(slices(change=change), tmp_path / "s")
    try:
        scan = read(folder)
    except MedsslError as error:
        assert names_in(error, VICTIM)  # noqa: PT017
    else:
        assert_same(scan, voxels(), truth())


def test_p07_pixels_that_declare_more_than_the_file_holds(tmp_path):
    # the voxels that the header needs are there, and yet the file says of itself that its end is missing
    folder = series(tmp_path / "s")
    content = (folder / VICTIM).read_bytes()
    at = content.rfind(b"\xe0\x7f\x10\0") + 8
    (folder / VICTIM).write_bytes(content[:at] + b"\xfe\xff\xff\x7f" + content[at + 4 :])
    error = refusal(folder)
    assert names_in(error, VICTIM)
    assert error.code == "truncated"


@pytest.mark.parametrize("extra", [b"\0" * 8, b"\0" * 1000, b"\xff" * 7, b"trailing words of CANARY Zebedee"])
def test_p07_bytes_after_the_last_element_move_no_voxel(tmp_path, extra):
    folder = series(tmp_path / "s")
    with (folder / VICTIM).open("ab") as file:
        file.write(extra)
    try:
        scan = read(folder)
    except MedsslError:
        refusal(folder)
    else:
        assert_same(scan, voxels(), truth())


def test_p07_trailing_padding_after_the_pixels_is_the_standards(tmp_path):
    def change(k, one):
        one.add_new((0xFFFC, 0xFFFC), "OB", b"\0" * 126)

    assert_same(read(save(slices(change=change), tmp_path / "s")), voxels(), truth())


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "._IM14.dcm",
        "._IM14",
        "Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
        "DICOMDIR",
        "dicomdir",
        "notes.txt",
        "README.md",
        "report.pdf",
        "AUTORUN.INF",
        "viewer.dll",
        "checksums.csv",
        "IM14.dcm~",
        ".IM14.dcm.swp",
        "preview.jpg",
        "sidecar.json",
        "log.xml",
        "old.zip",
    ],
)
@pytest.mark.parametrize("content", [b"", b"junk that is no image"], ids=["empty", "text"])
def test_p07_junk_is_passed_over(tmp_path, name, content):
    folder = series(tmp_path / "s")
    (folder / name).write_bytes(content)
    assert_same(read(folder), voxels(), truth())


@pytest.mark.parametrize("name", ["._IM14.dcm", ".IM14.dcm", "IM14.dcm~", "IM14.dcm.bak", "Thumbs.db"])
def test_p07_what_systems_keep_is_passed_over_whatever_it_holds(tmp_path, name):
    folder = series(tmp_path / "s")
    (folder / name).write_bytes((folder / VICTIM).read_bytes()[:400])
    assert_same(read(folder), voxels(), truth())


@pytest.mark.parametrize("name", ["notes.txt", "report.pdf", "old.zip", "IM14.raw"])
def test_p07_half_a_slice_under_another_suffix_is_named(tmp_path, name):
    folder = series(tmp_path / "s")
    (folder / name).write_bytes((folder / VICTIM).read_bytes()[:400])
    assert names_in(refusal(folder), name)


def test_p07_junk_folders_are_passed_over(tmp_path):
    folder = series(tmp_path / "s")
    for name in ("__MACOSX", ".git", ".Trash-0", ".AppleDouble"):
        (folder / name).mkdir()
        (folder / name / "._IM14.dcm").write_bytes(b"\0\5\x16\7")
        (folder / name / "object").write_bytes((folder / VICTIM).read_bytes())
    assert_same(read(folder), voxels(), truth())


def test_p07_a_real_dicomdir_is_passed_over(tmp_path):
    from pydicom.fileset import FileSet

    folder = tmp_path / "s"
    files = FileSet()
    for one in slices(change=lambda k, one: setattr(one, "SeriesNumber", 1) or setattr(one, "StudyID", "1")):
        one.StudyDate, one.StudyTime = "20200101", "120000"
        save_one(one, tmp_path / "one.dcm")
        files.add(tmp_path / "one.dcm")
    files.write(folder)
    assert (folder / "DICOMDIR").is_file()
    assert_same(read(folder), voxels(), truth())
    # some archives name it otherwise; it has no element of an image and names its kind in the file's head alone
    for name in ("DIRFILE", "INDEX.dcm"):
        (folder / name).write_bytes((folder / "DICOMDIR").read_bytes())
        assert_same(read(folder), voxels(), truth())
    error = refusal(folder / "DICOMDIR")
    assert names_in(error, "DICOMDIR")
    assert error.code == "not-a-volume"


def test_p07_a_slice_that_may_not_be_read_is_named(tmp_path):
    folder = series(tmp_path / "s")
    os.remove(folder / VICTIM)
    (folder / VICTIM).symlink_to(folder / "gone")
    error = refusal(folder)
    assert names_in(error, VICTIM)


def test_p07_a_pipe_among_the_slices_does_not_hang(tmp_path):
    folder = series(tmp_path / "s")
    os.remove(folder / VICTIM)
    os.mkfifo(folder / VICTIM)
    error = refusal(folder)
    assert error.code == "not-regular"
    assert names_in(error, VICTIM)


def test_p07_an_unknown_transfer_syntax_is_named(tmp_path):
    def unknown(path):
        content = path.read_bytes()
        wanted = b"1.2.840.10008.1.2.1\0"
        path.write_bytes(content.replace(wanted, b"1.2.840.10008.9.9.9\0", 1))

    folder = series(tmp_path / "s")
    unknown(folder / VICTIM)
    error = refusal(folder)
    assert names_in(error, VICTIM, "transfer syntax")


def test_p07_a_broken_slice_of_one_series_does_not_hide_the_other(tmp_path):
    series(tmp_path / "s" / "good")
    folder = save(slices(SeriesInstanceUID="1.2.3.99"), tmp_path / "s" / "bad")
    content = (folder / VICTIM).read_bytes()
    (folder / VICTIM).write_bytes(content[:-40])
    error = refusal(tmp_path / "s")
    assert error.code in ("several-volumes", "truncated")
    assert_same(read(tmp_path / "s" / "good"), voxels(), truth())
    assert names_in(refusal(folder), VICTIM)


def test_p07_files_without_preamble_are_read(tmp_path):
    # files of old scanners and of network captures start with the first group
    folder = series(tmp_path / "s")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert_same(read(folder), voxels(), truth())


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_p07_files_of_elements_alone_are_read(tmp_path, implicit, little):
    # no preamble and no file meta: implicit little-endian is what old networks sent
    folder = tmp_path / "s"
    folder.mkdir()
    for n, one in enumerate(slices()):
        if not little:
            one.PixelData = np.frombuffer(one.PixelData, "<u2").byteswap().tobytes()
        one.save_as(folder / f"{n}.dcm", implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    assert (folder / "0.dcm").read_bytes()[128:132] != b"DICM"
    assert_same(read(folder), voxels(), truth())
    # a cut one is still named
    content = (folder / "2.dcm").read_bytes()
    (folder / "2.dcm").write_bytes(content[:-9])
    assert names_in(refusal(folder), "2.dcm")


def test_p07_an_object_of_elements_alone_is_named(tmp_path):
    one = slices()[0]
    one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    del one.PixelData
    one.save_as(tmp_path / "a.dcm", implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert names_in(refusal(tmp_path / "a.dcm"), "RTSTRUCT")


def test_p07_an_empty_folder_and_one_of_junk(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "notes.txt").write_text("nothing here")
    for name in ("none", "junk"):
        error = refusal(tmp_path / name)
        assert error.code == "missing"
        assert names_in(error, name)


@pytest.mark.parametrize("size", [40, 100, 239])
def test_p07_a_cut_multi_frame_file(tmp_path, size):
    save_one(enhanced(), tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[:-size])
    error = refusal(tmp_path / "a.dcm")
    assert names_in(error, "a.dcm")


@pytest.mark.parametrize("claimed", [3, 5, 400, 2_000_000_000])
def test_p07_a_multi_frame_file_that_lies_about_its_frames(tmp_path, claimed):
    one = enhanced()
    one.NumberOfFrames = claimed
    save_one(one, tmp_path / "a.dcm")
    error = refusal(tmp_path / "a.dcm")
    assert names_in(error, "a.dcm")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_p07_flipped_bits_give_a_refusal_or_touch_nothing_but_pixels(tmp_path, data):
    folder = series(fresh(tmp_path / "s"))
    content = bytearray((folder / VICTIM).read_bytes())
    header = len(content) - 60
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, header - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    (folder / VICTIM).write_bytes(bytes(content))
    try:
        scan = read(folder)
    except MedsslError as error:
        assert error.code != "internal"  # noqa: PT017
        assert not any(part in error.line() for part in PRIVATE)  # noqa: PT017
    else:
        # a flip may hit the numbers of the rescale or of the bits, never the grid
        assert sorted(scan.shape) == [4, 5, 6]
        np.testing.assert_allclose(np.abs(scan.affine), np.abs(truth()), atol=0.05)
