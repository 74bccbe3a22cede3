"""P1 and P7 in compressed files: any offset table, fragment or delimiter gives the exact voxels or a refusal."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from medssl.errors import MedsslError
from medssl.io.read import read
from tests.promises.series import assert_same, enhanced, names_in, refusal, save, save_one, slices, truth, voxels

SYNTAXES = {"RLE": RLELossless, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}
WIDE = voxels((36, 33, 3), np.uint16)
"""Small, but as large as the encoders ask for; no voxel is over 12 bits."""
VICTIM = "IM14.dcm"


def compressed(folder, syntax=RLELossless, data=WIDE, change=None):
    """A series compressed by pydicom; ``change`` gets (number, dataset) afterwards."""
    save(slices(data), folder)
    for n in range(data.shape[2]):
        path = folder / f"IM{(7 * n) % 97:02d}.dcm"
        one = dcmread(path)
        one.compress(syntax, generate_instance_uid=False)
        if change is not None:
            change(n, one)
        one.save_as(path)
    return folder


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
def test_p01_compressed_voxels_are_exact(tmp_path, syntax, dtype):
    wanted = (WIDE % 256 if dtype == np.uint8 else WIDE).astype(dtype)
    if dtype == np.int16:
        wanted = wanted - np.int16(1300)
    assert_same(read(compressed(tmp_path / "s", syntax, wanted)), wanted, truth())


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
def test_p01_twelve_bits_of_sixteen(tmp_path, syntax):
    def twelve(k, one):
        one.BitsStored, one.HighBit = 12, 11

    save(slices(WIDE, change=twelve), tmp_path / "s")
    for path in (tmp_path / "s").iterdir():
        one = dcmread(path)
        one.compress(syntax, generate_instance_uid=False)
        one.save_as(path)
    assert_same(read(tmp_path / "s"), WIDE, truth())


def frames(one):
    """The compressed frames of a dataset."""
    return list(generate_frames(one.PixelData, number_of_frames=1))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless], ids=["JPEG-LS", "JPEG 2000"])
@pytest.mark.parametrize("table", [True, False], ids=["offsets", "no offsets"])
def test_p01_a_frame_in_several_fragments(tmp_path, syntax, table):
    def split(k, one):
        one.PixelData = encapsulate(frames(one), fragments_per_frame=3, has_bot=table)

    assert_same(read(compressed(tmp_path / "s", syntax, change=split)), WIDE, truth())


@pytest.mark.parametrize("how", ["basic", "none", "extended"])
@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
def test_p01_offset_tables_of_a_multi_frame_file(tmp_path, syntax, how):
    order = [2, 0, 1]
    one = enhanced(WIDE, order=order)
    save_one(one, tmp_path / "a.dcm")
    one = dcmread(tmp_path / "a.dcm")
    one.compress(syntax, generate_instance_uid=False)
    packed = list(generate_frames(one.PixelData, number_of_frames=3))
    if how == "extended":
        one.PixelData, one.ExtendedOffsetTable, one.ExtendedOffsetTableLengths = encapsulate_extended(packed)
    else:
        one.PixelData = encapsulate(packed, has_bot=how == "basic")
    one["PixelData"].VR = "OB"
    one.save_as(tmp_path / "a.dcm")
    assert_same(read(tmp_path / "a.dcm"), WIDE, truth())


def test_p01_offsets_that_lie_never_swap_frames(tmp_path):
    one = enhanced(WIDE)
    save_one(one, tmp_path / "a.dcm")
    one = dcmread(tmp_path / "a.dcm")
    one.compress(RLELossless, generate_instance_uid=False)
    data = bytearray(one.PixelData)
    # the table of three offsets stands first: exchange two, and point one outside
    first, second, third = struct.unpack_from("<3I", data, 8)
    for offsets in ((first, third, second), (first, second, 10**9), (first, first, first)):
        struct.pack_into("<3I", data, 8, *offsets)
        one.PixelData = bytes(data)
        one.save_as(tmp_path / "a.dcm")
        try:
            scan = read(tmp_path / "a.dcm")
        except MedsslError:
            assert names_in(refusal(tmp_path / "a.dcm"), "a.dcm")
        else:
            # offsets are what the standard says decides: nothing but one of the two orders may come
            assert sorted(np.unique(scan.data)) == sorted(np.unique(WIDE))


def test_p07_a_missing_delimiter_is_read_or_named(tmp_path):
    folder = compressed(tmp_path / "s")
    path = folder / VICTIM
    content = path.read_bytes()
    assert content[-8:] == b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(content[:-8])
    try:
        scan = read(folder)
    except MedsslError:
        assert names_in(refusal(folder), VICTIM)
    else:
        assert_same(scan, WIDE, truth())


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
def test_p07_a_compressed_slice_cut_anywhere_is_named(tmp_path, syntax):
    folder = compressed(tmp_path / "s", syntax)
    path = folder / VICTIM
    content = path.read_bytes()
    for cut in (20, 60, len(content) // 4, len(content) // 2):
        path.write_bytes(content[:-cut])
        assert names_in(refusal(folder), VICTIM), cut


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
def test_p07_compressed_pixels_of_noise_are_named(tmp_path, syntax):
    def noise(k, one):
        if k == 2:
            one.PixelData = encapsulate([np.random.default_rng(0).bytes(300)])

    error = refusal(compressed(tmp_path / "s", syntax, change=noise))
    assert names_in(error, VICTIM)
    assert error.code in ("codec", "corrupt", "truncated")


@pytest.mark.parametrize("items", [1, 2])
def test_p07_encapsulation_without_a_frame_is_named(tmp_path, items):
    def empty(k, one):
        if k == 2:
            one.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" * items

    assert names_in(refusal(compressed(tmp_path / "s", change=empty)), VICTIM)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless], ids=["JPEG-LS", "JPEG 2000"])
def test_p07_a_stream_of_another_size_is_refused(tmp_path, syntax):
    # the stream holds 33 rows of 36 pixels, the header says as many pixels in another order
    def turned(k, one):
        one.Rows, one.Columns = one.Columns, one.Rows

    assert refusal(compressed(tmp_path / "s", syntax, change=turned)).code in ("corrupt", "codec", "truncated")


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
@pytest.mark.parametrize("rows", [1, 32, 34, 66])
def test_p07_a_stream_of_fewer_or_more_rows_is_refused(tmp_path, syntax, rows):
    def other(k, one):
        one.Rows = rows

    assert names_in(refusal(compressed(tmp_path / "s", syntax, change=other)), ".dcm")


def test_p07_plain_pixels_that_claim_to_be_compressed(tmp_path):
    folder = compressed(tmp_path / "s")
    one = slices(WIDE)[2]
    save_one(one, folder / VICTIM)
    content = (folder / VICTIM).read_bytes()
    syntax = b"1.2.840.10008.1.2.1\0"
    (folder / VICTIM).write_bytes(content.replace(syntax, b"1.2.840.10008.1.2.5\0", 1))
    assert names_in(refusal(folder), VICTIM)


def test_p07_compressed_pixels_that_claim_to_be_plain(tmp_path):
    folder = compressed(tmp_path / "s")
    content = (folder / VICTIM).read_bytes()
    syntax = b"1.2.840.10008.1.2.5\0"
    (folder / VICTIM).write_bytes(content.replace(syntax, b"1.2.840.10008.1.2.1\0", 1))
    assert names_in(refusal(folder), VICTIM)
