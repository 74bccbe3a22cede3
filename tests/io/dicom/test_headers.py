"""Headers of many files: in order, each opened once, refusals in their places."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.frames import find_frames
from medssl.io.dicom.headers import FIRST_READ, Header, read_header, read_headers
from medssl.io.dicom.pixels import read_pixels
from medssl.io.dicom.plain import Tags
from medssl.io.dicom.series import stack
from medssl.io.read import read
from tests.io.scans import marked, write_slices


@pytest.mark.parametrize("workers", [None, 1, 4])
def test_headers_come_in_order_with_refusals_in_their_places(tmp_path, workers):
    folder = write_slices(tmp_path / "s", count=3)
    (folder / "IM03.dcm").write_bytes(b"junk")
    files = [folder / name for name in ("IM07.dcm", "IM03.dcm", "IM00.dcm")] * 40
    seen = []
    found = list(read_headers(files, lambda *now: seen.append(now), workers))
    assert [str(answer.path) for answer in found] == [str(file) for file in files]
    assert [isinstance(answer, Header) for answer in found] == [True, False, True] * 40
    assert isinstance(found[1], InputError)
    assert seen == [(done, 120, "reading DICOM headers") for done in range(1, 121)]


def test_a_long_header_is_walked_too(tmp_path):
    def lengthen(n, data):
        data.private_block(0x0043, "BLOCK", create=True).add_new(1, "OB", bytes(3 * FIRST_READ))

    folder = write_slices(tmp_path / "s", change=lengthen)
    header = read_header(folder / "IM00.dcm")
    assert isinstance(header.dataset, Tags)
    assert header.source.place is not None
    assert header.source.place.offset > 3 * FIRST_READ
    np.testing.assert_array_equal(read(folder).data[0], marked((6, 5, 4)))


def test_a_file_that_changes_between_header_and_pixels_is_refused(tmp_path):
    folder = write_slices(tmp_path / "s")
    frames = sorted(find_frames(folder).frames, key=lambda frame: frame.position[2])
    planes = stack(frames, folder)
    target = folder / "IM07.dcm"
    os.utime(target, ns=(1, 1))
    for one in (planes, replace(planes, frames=tuple(parsed(frame) for frame in frames))):
        with pytest.raises(InputError, match=r"IM07\.dcm: the file was changed while it was being read"):
            read_pixels(one, folder)


def parsed(frame):
    """The frame as if its header had not been plain."""
    return replace(frame, source=replace(frame.source, place=None))


@pytest.mark.parametrize(
    ("name", "value"),
    [("BitsStored", 17), ("HighBit", 12), ("NumberOfFrames", 2), ("PixelData", bytes(62)), ("PixelData", bytes(58))],
)
def test_pixels_that_are_not_what_the_header_says_have_no_plain_place(tmp_path, name, value):
    folder = write_slices(tmp_path / "s", count=1, **{name: value})
    header = read_header(folder / "IM00.dcm")
    assert isinstance(header.dataset, Tags)
    assert header.source.place is None


def test_a_tail_of_padding_is_plain_and_any_other_is_not(tmp_path):
    target = write_slices(tmp_path / "s", count=1) / "IM00.dcm"
    whole = target.read_bytes()
    for tail, plain in [
        (b"", True),
        (b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0\0\0\0\0", True),
        (b"\0", False),
        (whole[-20:], False),
    ]:
        target.write_bytes(whole + tail)
        assert (read_header(target).source.place is not None) == plain
