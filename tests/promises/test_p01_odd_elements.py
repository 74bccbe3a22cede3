"""P1 in files of odd build: private tags, sequences of any length, charsets and names in any place move no voxel."""

from __future__ import annotations

import zipfile

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

import medssl
from medssl.errors import MedsslError
from medssl.io.read import read
from tests.promises.series import (
    PRIVATE,
    SYNTAXES,
    assert_same,
    enhanced,
    item,
    refusal,
    save,
    save_one,
    slices,
    truth,
    voxels,
)


def decoy(k, one):
    """Nested items that hold geometry and pixels of their own, before and after the slice's."""
    lies = Dataset()
    lies.ImagePositionPatient, lies.ImageOrientationPatient = [999, 999, 999], [0, 1, 0, 0, 0, 1]
    lies.PixelSpacing, lies.Rows, lies.Columns = [9, 9], 2, 2
    lies.RescaleSlope, lies.RescaleIntercept = 7, 7
    lies.PixelData = b"\7\0" * 4
    lies["PixelData"].VR = "OW"
    lies.IconImageSequence = item(Rows=1, Columns=2, BitsAllocated=8, PixelData=b"\1\2")
    one.ReferencedImageSequence = Items([lies, Dataset()])
    one.SourceImageSequence = Items([lies])
    one.IconImageSequence = Items([lies])
    one.RequestAttributesSequence = Items([])


def undefined(k, one):
    decoy(k, one)
    for name in ("ReferencedImageSequence", "SourceImageSequence", "IconImageSequence"):
        one[name].is_undefined_length = True
        for part in one[name].value:
            part.is_undefined_length_sequence_item = True


def private(k, one):
    for group in (0x0009, 0x0019, 0x0021, 0x0029, 0x0051, 0x7FE1):
        one.add_new((group, 0x0010), "LO", "CANARY CREATOR")
        one.add_new((group, 0x1001), "OB", b"\xe0\x7f\x10\x00" * 8)
        one.add_new((group, 0x1002), "UN", b"\xfe\xff\xdd\xe0\0\0\0\0")
        one.add_new((group, 0x1003), "SQ", Items([Dataset()]))
        one.add_new((group, 0x1004), "DS", ["1", "2"])


def lengths(k, one):
    for group in (0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x7FE0):
        one.add_new((group, 0x0000), "UL", 4242)


def overlays(k, one):
    one.add_new((0x6000, 0x0010), "US", 5)
    one.add_new((0x6000, 0x0011), "US", 6)
    one.add_new((0x6000, 0x3000), "OW", b"\xff" * 4)
    one.add_new((0x6000, 0x0100), "US", 1)


def odd_text(k, one):
    one.PatientID = "CANARY-../../x;$(touch y)\\A"
    one.StudyDescription = "CANARY\x1b[31m Zebedee\r\nmedssl: error: forged"
    one.SeriesDescription = "CANARY" * 300


def empty(k, one):
    for keyword in ("PatientName", "InstanceNumber", "SliceThickness", "AcquisitionNumber", "EchoTime", "StudyDate"):
        setattr(one, keyword, None)
    one.ImageComments = ""


def long_values(k, one):
    one.add_new((0x0043, 0x0010), "LO", "X")
    one.add_new((0x0043, 0x1001), "OB", bytes(200_000))


BUILDS = {
    "nested geometry": decoy,
    "undefined lengths": undefined,
    "private groups": private,
    "group lengths that lie": lengths,
    "overlays": overlays,
    "odd text": odd_text,
    "empty elements": empty,
    "long private values": long_values,
}


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
@pytest.mark.parametrize("change", BUILDS.values(), ids=BUILDS.keys())
def test_p01_odd_elements_move_no_voxel(tmp_path, change, syntax):
    assert_same(read(save(slices(change=change), tmp_path / "s", syntax=syntax)), voxels(), truth())


@pytest.mark.parametrize(
    "charset",
    [
        "ISO_IR 100",
        "ISO_IR 192",
        "GB18030",
        ["", "ISO 2022 IR 87"],
        "ISO_IR 999",
        "UTF8",
        "\\\\",
        "latin1",
        "",
        ["ISO 2022 IR 6"] * 9,
    ],
)
def test_p01_charsets_known_and_unknown_do_not_stop_the_pixels(tmp_path, charset, recwarn):
    folder = save(slices(), tmp_path / "s")
    wanted = "\\".join(charset) if isinstance(charset, list) else charset
    for path in folder.iterdir():
        content = path.read_bytes()
        # before the image type, in the bytes: pydicom would not write an unknown one
        at = content.index(b"\x08\0\x08\0CS")
        value = wanted.encode() + b" " * (len(wanted) % 2)
        element = b"\x08\0\x05\0CS" + len(value).to_bytes(2, "little") + value
        path.write_bytes(content[:at] + element + content[at:].replace(b"Zebedee", b"Zeb\xe9\xff\x1be", 1))
    assert_same(read(folder), voxels(), truth())


def test_p01_nothing_private_is_written_or_said(tmp_path, capfd):
    folder = save(slices(change=odd_text), tmp_path / "s")
    for suffix in ("nii", "nrrd", "mha", "npz"):
        medssl.convert(folder, tmp_path / f"out.{suffix}")
        content = (tmp_path / f"out.{suffix}").read_bytes()
        assert not any(part.encode() in content for part in (*PRIVATE, "Infirmary", "MRN"))
    told = str(medssl.inspect(folder)) + "".join(capfd.readouterr())
    assert not any(part in told for part in (*PRIVATE, "Infirmary", "MRN", "forged"))


def test_p01_sequences_nested_thousands_deep_do_not_crash(tmp_path):
    folder = save(slices(), tmp_path / "s")
    path = folder / "IM14.dcm"
    content = path.read_bytes()
    at = content.index(b"\x08\0\x16\0UI")
    opening = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(content[:at] + opening * 3000 + closing * 3000 + content[at:])
    try:
        scan = read(folder)
    except MedsslError:
        assert refusal(folder).code in ("corrupt", "truncated", "format")
    else:
        assert_same(scan, voxels(), truth())


@pytest.mark.parametrize("size", [0xFFFFFFFE, 0x7FFFFFFF, 10**6])
def test_p01_an_element_longer_than_the_file_is_refused(tmp_path, size):
    folder = save(slices(), tmp_path / "s")
    path = folder / "IM14.dcm"
    content = path.read_bytes()
    at = content.index(b"\x20\0\x32\0DS")
    element = b"\x09\0\x01\x10OB\0\0" + size.to_bytes(4, "little") + b"abcd"
    path.write_bytes(content[:at] + element + content[at:])
    assert "IM14.dcm" in refusal(folder).line()


def test_p01_elements_out_of_order_are_exact_or_refused(tmp_path):
    folder = save(slices(), tmp_path / "s")
    for path in folder.iterdir():
        content = path.read_bytes()
        at = content.index(b"\x20\0\x32\0DS")
        size = 8 + int.from_bytes(content[at + 6 : at + 8], "little")
        element = content[at : at + size]
        rest = content[:at] + content[at + size :]
        to = rest.index(b"\x08\0\x60\0CS")
        path.write_bytes(rest[:to] + element + rest[to:])
    try:
        scan = read(folder)
    except MedsslError:
        refusal(folder)
    else:
        assert_same(scan, voxels(), truth())


def test_p01_a_tag_told_twice_is_never_a_mix(tmp_path):
    # two positions in one file: either is a guess, so it must be one of them for every slice or a refusal
    folder = save(slices(), tmp_path / "s")
    path = folder / "IM14.dcm"
    content = path.read_bytes()
    at = content.index(b"\x20\0\x32\0DS")
    size = 8 + int.from_bytes(content[at + 6 : at + 8], "little")
    other = content[at : at + size].replace(b"36.0", b"33.0")
    path.write_bytes(content[: at + size] + other + content[at + size :])
    try:
        scan = read(folder)
    except MedsslError:
        assert refusal(folder).code in ("slices", "corrupt", "geometry")
    else:
        assert_same(scan, voxels(), truth())


def test_p01_a_zipped_folder_is_refused_by_name(tmp_path):
    folder = save(slices(), tmp_path / "s")
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    error = refusal(tmp_path / "scan.zip")
    assert "zip" in error.reason.lower()


def other_kind(path, tag, kind, value=None):
    """Write an element of an explicit little-endian file with another VR, and another value where one is given."""
    content = path.read_bytes()
    group, element, old = tag
    mark = group.to_bytes(2, "little") + element.to_bytes(2, "little")
    at = content.index(mark + old)
    size = int.from_bytes(content[at + 6 : at + 8], "little")
    value = content[at + 8 : at + 8 + size] if value is None else value
    long = kind in (b"UN", b"OB", b"UT", b"OW")
    length = b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")
    path.write_bytes(content[:at] + mark + kind + length + value + content[at + 8 + size :])


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [
        ((0x20, 0x32, b"DS"), b"UN", None),
        ((0x20, 0x32, b"DS"), b"LO", None),
        ((0x20, 0x37, b"DS"), b"UN", None),
        ((0x28, 0x30, b"DS"), b"ds", None),
        ((0x28, 0x30, b"DS"), b"??", None),
        ((0x28, 0x30, b"DS"), b"FD", b"\x66\x66\x66\x66\x66\x66\xfe\x3f\x66\x66\x66\x66\x66\x66\xe6\x3f"),
        ((0x28, 0x10, b"US"), b"SS", None),
        ((0x28, 0x10, b"US"), b"UL", b"\5\0\0\0"),
        ((0x28, 0x10, b"US"), b"UN", None),
        ((0x28, 0x10, b"US"), b"US", b"\5\0\7\0"),
        ((0x28, 0x10, b"US"), b"IS", b"5 "),
        ((0x28, 0x100, b"US"), b"UN", None),
        ((0x28, 0x103, b"US"), b"SS", None),
        ((0x28, 0x1053, b"DS"), b"UN", b"1 "),
        ((0x28, 0x1053, b"DS"), b"FD", b"\0\0\0\0\0\0\xf0\x3f"),
        ((0x20, 0x0D, b"UI"), b"LO", None),
        ((0x20, 0x0E, b"UI"), b"UN", None),
        ((0x20, 0x13, b"IS"), b"IS", b"12.5"),
        ((0x20, 0x13, b"IS"), b"IS", b"one "),
        ((0x08, 0x60, b"CS"), b"UN", None),
    ],
)
def test_p01_an_element_of_another_kind_is_read_right_or_refused(tmp_path, tag, kind, value):
    folder = save(slices(), tmp_path / "s")
    for path in folder.iterdir():
        other_kind(path, tag, kind, value)
    try:
        scan = read(folder)
    except MedsslError:
        assert ".dcm" in refusal(folder).line()
    else:
        assert_same(scan, voxels(), truth())


@pytest.mark.parametrize("frames", ["1", " 1", "01", "1.0", "1 ", "+1"])
def test_p01_one_frame_however_it_is_written(tmp_path, frames):
    folder = save(slices(NumberOfFrames=1), tmp_path / "s")
    for path in folder.iterdir():
        other_kind(path, (0x28, 0x08, b"IS"), b"IS", frames.encode() + b" " * (len(frames) % 2))
    try:
        scan = read(folder)
    except MedsslError:
        assert "NumberOfFrames" in refusal(folder).reason
    else:
        assert_same(scan, voxels(), truth())


@pytest.mark.parametrize("frames", ["-1", "2", "1.5", "x", "1\\2"])
def test_p01_a_number_of_frames_that_cannot_be_is_refused(tmp_path, frames):
    folder = save(slices(NumberOfFrames=1), tmp_path / "s")
    other_kind(folder / "IM14.dcm", (0x28, 0x08, b"IS"), b"IS", frames.encode() + b" " * (len(frames) % 2))
    assert "IM14.dcm" in refusal(folder).line()


@pytest.mark.parametrize("name", ["IM21.raw", "IM21.log", "IM21.jpg", "IM21.txt", "1.2.3.db", "IM21.gz"])
def test_p01_the_last_slice_is_not_lost_for_its_suffix(tmp_path, name):
    # left out, the rest would be a fine volume that lacks its end
    folder = save(slices(), tmp_path / "s")
    (folder / "IM21.dcm").rename(folder / name)
    try:
        scan = read(folder)
    except MedsslError:
        assert name in refusal(folder).line()
    else:
        assert_same(scan, voxels(), truth())


def test_p01_whole_numbers_beyond_32_bits_outlive_conversion(tmp_path):
    stored = voxels(dtype="uint32") * 30_000_000
    folder = save(slices(stored, RescaleIntercept=-5), tmp_path / "s")
    for suffix in ("nii.gz", "nrrd", "mha", "npz"):
        medssl.convert(folder, tmp_path / f"o.{suffix}")
        assert_same(read(tmp_path / f"o.{suffix}"), stored.astype(float) - 5, truth())


def test_p01_a_parametric_map_of_floats_is_exact_or_named(tmp_path):
    values = (voxels() * 0.37 - 5).astype("<f4")
    one = enhanced()
    one.SOPClassUID = "1.2.840.10008.5.1.4.1.1.30"
    del one.PixelData, one.BitsStored, one.HighBit, one.PixelRepresentation
    one.BitsAllocated = 32
    one.FloatPixelData = b"".join(values[:, :, k].T.tobytes() for k in range(4))
    save_one(one, tmp_path / "a.dcm")
    try:
        scan = read(tmp_path / "a.dcm")
    except MedsslError:
        assert refusal(tmp_path / "a.dcm").code == "not-a-volume"
    else:
        assert_same(scan, values, truth())
