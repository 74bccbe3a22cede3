"""Stored pixels of every kind become the values that they stand for, whichever way they are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.frames import find_frames
from medssl.io.dicom.pixels import read_pixels
from medssl.io.dicom.series import stack
from medssl.io.read import read
from tests.io.scans import marked, write_slices


def both_ways(folder):
    """The voxels, after the short way and the parser's were found equal in every bit and type."""
    frames = sorted(find_frames(folder).frames, key=lambda frame: frame.position[2])
    planes = stack(frames, folder)
    short = read_pixels(planes, folder)
    slow = [replace(frame, source=replace(frame.source, place=None)) for frame in frames]
    np.testing.assert_array_equal(short, read_pixels(replace(planes, frames=tuple(slow)), folder), strict=True)
    return short[0]


def stored(folder, voxels, **tags):
    """A series of these stored values: columns × rows × slices."""

    def change(n, data):
        data.BitsAllocated = data.BitsStored = 8 * voxels.itemsize
        data.HighBit = data.BitsStored - 1
        data.PixelRepresentation = int(voxels.dtype.kind == "i")
        data.PixelData = voxels[:, :, n].T.tobytes()
        for keyword, value in tags.items():
            setattr(data, keyword, value[n] if isinstance(value, list) else value)

    return write_slices(folder, count=voxels.shape[2], change=change)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (1, 40000), (2, 0), (0.25, 3.5)])
def test_p08_every_type_and_scale(tmp_path, kind, slope, intercept):
    ends = np.iinfo(kind)
    voxels = np.linspace(ends.min, ends.max, 120).reshape(6, 5, 4).astype(kind)
    out = both_ways(stored(tmp_path / "s", voxels, RescaleSlope=slope, RescaleIntercept=intercept))
    exact = voxels.astype(np.float64) * slope + intercept
    np.testing.assert_allclose(out, exact, rtol=1e-7 if out.dtype.kind == "f" else 0)
    assert out.dtype.kind == ("f" if slope == 0.25 else "u" if (slope, intercept) == (1, 0) and kind[0] == "u" else "i")


def test_p08_hounsfield_units_are_int16_and_widen_where_they_must(tmp_path):
    low = marked((6, 5, 4), np.uint16)
    assert both_ways(stored(tmp_path / "a", low, RescaleIntercept=-1024)).dtype == np.int16
    high = low.copy()
    high[0, 0, 2] = 65000
    out = both_ways(stored(tmp_path / "b", high, RescaleIntercept=-1024))
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, high.astype(np.int32) - 1024)


def test_slices_of_different_scales_share_a_type_that_holds_all(tmp_path):
    voxels = marked((6, 5, 4), np.uint16)
    out = both_ways(stored(tmp_path / "s", voxels, RescaleIntercept=[0, -10, 70000, 0.5]))
    np.testing.assert_array_equal(out, voxels + np.array([0, -10, 70000, 0.5]))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [1, 7, 12, 15])
def test_p08_unused_bits_never_count(tmp_path, signed, bits):
    voxels = marked((6, 5, 4), np.int32) % (1 << bits) - ((1 << bits - 1) if signed else 0)
    junk = np.uint16(0xA5A5 << bits & 0xFFFF)
    dirty = voxels.astype(np.uint16) & np.uint16((1 << bits) - 1) | junk
    tags = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(signed)}
    np.testing.assert_array_equal(both_ways(stored(tmp_path / "s", dirty, **tags)), voxels)


@pytest.mark.parametrize("kind", ["OB", "OW", "UN"])
def test_pixel_data_of_each_type_and_odd_length(tmp_path, kind):
    voxels = (marked((5, 3, 4)) * 2).astype(np.uint8)

    def change(n, data):
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.Columns, data.Rows = 5, 3
        data.PixelData = voxels[:, :, n].T.tobytes() + b"\xff"
        data["PixelData"].VR = kind

    np.testing.assert_array_equal(both_ways(write_slices(tmp_path / "s", change=change)), voxels)


def test_real_numbers_are_kept(tmp_path):
    voxels = marked((6, 5, 4), np.float32) / 7

    def change(n, data):
        del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
        data.BitsAllocated, data.FloatPixelData = 32, voxels[:, :, n].T.tobytes()

    out = both_ways(write_slices(tmp_path / "s", change=change))
    np.testing.assert_array_equal(out, voxels, strict=True)


def test_a_slice_lies_together_in_memory(tmp_path):
    data = read(write_slices(tmp_path / "s")).data
    assert data[0].T.flags.c_contiguous


def test_of_several_broken_slices_the_first_in_order_is_named(tmp_path):
    folder = write_slices(tmp_path / "s", count=8)
    for name in ("IM09.dcm", "IM05.dcm", "IM06.dcm"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:-4])
    for _ in range(5):
        with pytest.raises(InputError, match=r"IM06\.dcm: truncated: 56 bytes of pixel data, expected 60"):
            read(folder)
