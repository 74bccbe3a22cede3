"""RT dose: planes where either form of the offsets says, values in gray."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.volumes import list_series
from medssl.io.read import read
from tests.io.multi_frames import NORMAL, OBLIQUE, write_file
from tests.io.scans import marked, write_slices

RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"


def dose(folder, offsets=(0.0, 3.0, 6.0, 9.0), name="IM00.dcm", **tags):
    """A dose grid of 4 planes of 32-bit values with a scaling of 2⁻¹²."""

    def change(data):
        data.SOPClassUID, data.Modality = RT_DOSE, "RTDOSE"
        del data.RescaleSlope, data.RescaleIntercept, data.ImageType
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 32, 32, 31, 0
        stored = marked((6, 5, 4), np.uint32) * np.uint32(2**25)
        data.PixelData = stored.T.astype("<u4").tobytes()
        data.DoseUnits, data.DoseType, data.DoseSummationType = "GY", "PHYSICAL", "PLAN"
        data.DoseGridScaling = 2.0**-12
        data.FrameIncrementPointer = 0x3004000C
        data.GridFrameOffsetVector = list(offsets)
        for keyword, value in tags.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)

    return write_file(folder, change, name)


def test_p08_dose_is_scaled_without_a_wrap(tmp_path):
    scan = read(dose(tmp_path / "d"))
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 4), np.float32) * 2**13)
    assert (scan.tags["modality"], scan.tags["units"]) == ("RTDOSE", "GY")


def test_p01_an_oblique_dose_grid_goes_along_its_normal(tmp_path):
    scan = read(dose(tmp_path / "d", ImageOrientationPatient=list(OBLIQUE)))
    np.testing.assert_allclose(scan.affine[:3, 2], np.diag([-1, -1, 1]) @ NORMAL * 3, atol=1e-12)
    np.testing.assert_allclose(scan.affine[:3, 3], [-10, -20, 30])


@pytest.mark.parametrize("offsets", [(0.0, -3.0, -6.0, -9.0), (30.0, 27.0, 24.0, 21.0)], ids=["relative", "absolute"])
def test_p01_offsets_may_fall(tmp_path, offsets):
    scan = read(dose(tmp_path / "d", offsets))
    np.testing.assert_allclose(scan.affine[:3, 2], [0, 0, 3])
    np.testing.assert_allclose(scan.affine[:3, 3], [-10, -20, 21])
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 4), np.float32)[:, :, ::-1] * 2**13)


def test_p01_relative_offsets_follow_a_normal_that_points_down(tmp_path):
    scan = read(dose(tmp_path / "d", ImageOrientationPatient=[1, 0, 0, 0, -1, 0]))
    np.testing.assert_allclose(scan.affine[:3, 2], [0, 0, -3])


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ({"offsets": (0.0, 3.0, 6.0, 12.0)}, "slices", "frame 3 and IM00.dcm frame 4 lie 6 mm apart"),
        ({"offsets": (0.0, 3.0, 3.0, 9.0)}, "geometry", "GridFrameOffsetVector does not rise"),
        ({"offsets": (5.0, 8.0, 11.0, 14.0)}, "geometry", "GridFrameOffsetVector starts neither"),
        ({"offsets": (0.0, 3.0, 6.0)}, "geometry", "GridFrameOffsetVector must have 4 numbers"),
        ({"GridFrameOffsetVector": None}, "geometry", "GridFrameOffsetVector is missing"),
        ({"DoseGridScaling": None}, "values", "DoseGridScaling is missing"),
        ({"DoseGridScaling": 0}, "values", "DoseGridScaling must be positive"),
        ({"DoseUnits": None}, "values", "DoseUnits must be"),
        ({"DoseType": "ERROR"}, "not-a-volume", "type ERROR"),
        ({"RescaleSlope": 1}, "values", "both DoseGridScaling and a rescale"),
    ],
)
def test_p08_a_dose_that_says_too_little_is_refused(tmp_path, settings, code, message):
    with pytest.raises(InputError, match=message) as caught:
        read(dose(tmp_path / "d", **settings))
    assert caught.value.code == code


def test_p06_the_older_offsets_hold_in_axial_grids_alone(tmp_path):
    turned = [-1, 0, 0, 0, -1, 0]
    with pytest.raises(InputError, match="starts neither"):
        read(dose(tmp_path / "d", (30.0, 33.0, 36.0, 39.0), ImageOrientationPatient=turned))


def test_p05_doses_and_their_scan_are_listed(tmp_path):
    write_slices(tmp_path / "s")
    (tmp_path / "s" / "IM00.dcm").rename(tmp_path / "s" / "IM99.dcm")
    dose(tmp_path / "s", name="RD1.dcm", SOPInstanceUID="1.2.9.1")
    dose(tmp_path / "s", name="RD2.dcm", SOPInstanceUID="1.2.9.2")
    assert [(one.frames[0].modality, len(one.frames)) for one in list_series(tmp_path / "s")] == [
        ("CT", 4),
        ("RTDOSE", 4),
        ("RTDOSE", 4),
    ]
