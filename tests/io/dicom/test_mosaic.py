"""Siemens mosaics: unfolded to the exact place, or refused by what is not said."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.siemens_csa import csa_numbers
from medssl.io.dicom.volumes import list_series
from medssl.io.read import read
from tests.io.multi_frames import NORMAL, OBLIQUE, csa_header, write_file
from tests.io.scans import marked

COUNT = 7  # of 3 × 3 tiles, two stay empty


def mosaic(folder, name="IM00.dcm", normal=NORMAL, count=COUNT, uid="1.2.3.1", **tags):
    """Slices of 6 × 5 pixels; the first one's first pixel lies at LPS (10, 20, 30)."""

    def change(data):
        picture = np.zeros((15, 18), dtype="<i2")
        voxels = marked((6, 5, COUNT))
        for k in range(COUNT):
            row, column = divmod(k, 3)
            picture[5 * row : 5 * row + 5, 6 * column : 6 * column + 6] = voxels[:, :, k].T
        del data.NumberOfFrames
        data.Modality, data.SOPInstanceUID = "MR", uid
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
        data.Rows, data.Columns, data.PixelData = 15, 18, picture.tobytes()
        data.ImageOrientationPatient = list(OBLIQUE)
        # the header places a picture of the mosaic's size around the middle of the first slice
        turn = np.array(OBLIQUE).reshape(2, 3)
        corner = np.array([10.0, 20.0, 30.0]) - 0.7 * 6 * turn[0] - 1.9 * 5 * turn[1]
        data.ImagePositionPatient = [float(x) for x in corner]
        data.SpacingBetweenSlices = 3.0
        if count is not None:
            header = csa_header(
                {
                    "EchoLinePosition": ["30"],
                    "NumberOfImagesInMosaic": [str(count)],
                    "SliceNormalVector": [f"{x:.8f}" for x in normal],
                }
            )
            block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
            block.add_new(0x10, "OB", header)
        for keyword, value in tags.items():
            setattr(data, keyword, value)

    return write_file(folder, change, name)


def test_p01_a_mosaic_is_unfolded_to_its_place(tmp_path):
    scan = read(mosaic(tmp_path / "s"))
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, COUNT)))
    flip = np.diag([-1.0, -1, 1])
    np.testing.assert_allclose(scan.affine[:3, 3], flip @ [10, 20, 30], atol=1e-6)
    np.testing.assert_allclose(scan.affine[:3, 2], flip @ NORMAL * 3, atol=1e-6)
    np.testing.assert_allclose(scan.affine[:3, 0], flip @ OBLIQUE[:3] * 0.7, atol=1e-6)
    np.testing.assert_allclose(scan.affine[:3, 1], flip @ OBLIQUE[3:] * 1.9, atol=1e-6)
    assert scan.flags == ()


def test_p01_the_private_normal_says_on_which_side_the_slices_go_on(tmp_path):
    scan = read(mosaic(tmp_path / "s", normal=-NORMAL))
    # slices are kept in order along the standard's normal, so the last tile comes first
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, COUNT))[:, :, ::-1])
    flip = np.diag([-1.0, -1, 1])
    np.testing.assert_allclose(
        scan.affine[:3, 3], flip @ (np.array([10, 20, 30]) - NORMAL * 3 * (COUNT - 1)), atol=1e-6
    )


def test_p05_each_mosaic_of_a_time_series_is_a_volume(tmp_path):
    for n in range(15):
        mosaic(tmp_path / "s", f"T{n:02d}.dcm", uid=f"1.2.3.{n}")
    assert len(list_series(tmp_path / "s")) == 15
    with pytest.raises(InputError, match=r"more than one volume \(15 .*and 3 more"):
        read(tmp_path / "s")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": None}, "mosaic .* without SIEMENS CSA HEADER"),
        ({"count": 0}, "without a NumberOfImagesInMosaic"),
        ({"count": 10}, "a mosaic of 10 slices cannot have 15×18 pixels"),
        ({"normal": [1, 0, 0]}, "SliceNormalVector .* not perpendicular"),
        ({"normal": [1, 0]}, "without a SliceNormalVector"),
        ({"SpacingBetweenSlices": None}, "SpacingBetweenSlices is missing"),
        ({"SpacingBetweenSlices": 0}, "SpacingBetweenSlices must be positive"),
    ],
)
def test_p06_a_mosaic_that_says_too_little_is_refused(tmp_path, settings, message):
    with pytest.raises(InputError, match=rf"IM00.dcm: .*{message}") as caught:
        read(mosaic(tmp_path / "s", **settings))
    assert caught.value.code == "geometry"


def test_p54_a_private_header_is_read_within_its_bounds():
    header = csa_header({"A": ["1", "2.5"], "B": ["x" * 9], "C": []})
    assert csa_numbers(header, ("A", "C")) == {"A": (1.0, 2.5)}
    with pytest.raises(ValueError, match="could not convert"):
        csa_numbers(header, ("B",))
    for size in range(len(header)):
        with pytest.raises(ValueError, match="CSA header"):
            csa_numbers(header[:size], ("A",))
    rng = np.random.default_rng(0)
    for _ in range(300):
        hostile = bytearray(header)
        for at in rng.integers(8, len(header), 4):
            hostile[at] = rng.integers(256)
        try:
            csa_numbers(bytes(hostile), ("A",))
        except ValueError:
            continue


def test_p54_a_private_header_with_an_element_twice_is_refused():
    header = csa_header({"A": ["1"]})
    twice = header[:8] + (2).to_bytes(4, "little") + header[12:] + header[16:]
    with pytest.raises(ValueError, match="twice"):
        csa_numbers(twice, ("A",))
