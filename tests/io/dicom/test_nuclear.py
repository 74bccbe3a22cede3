"""Nuclear medicine reconstructions: one position, frames stacked by SliceVector and the sign of their spacing."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.volumes import list_series
from medssl.io.read import read
from tests.io.multi_frames import NORMAL, OBLIQUE, item, write_file
from tests.io.scans import marked


def nuclear(folder, slices=(1, 2, 3, 4), **tags):
    def change(data):
        data.SOPClassUID, data.Modality = "1.2.840.10008.5.1.4.1.1.20", "NM"
        data.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
        place = {"ImagePositionPatient": [10, 20, 30], "ImageOrientationPatient": list(OBLIQUE)}
        data.DetectorInformationSequence = item(**place)
        del data.ImagePositionPatient, data.ImageOrientationPatient
        data.FrameIncrementPointer = 0x00540080
        data.SliceVector, data.SpacingBetweenSlices = list(slices), 3.0
        for keyword, value in tags.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)

    return write_file(folder, change)


@pytest.mark.parametrize("sign", [1, -1])
def test_p01_a_reconstruction_goes_where_its_spacings_sign_says(tmp_path, sign):
    scan = read(nuclear(tmp_path / "s", SpacingBetweenSlices=3.0 * sign))
    flip = np.diag([-1, -1, 1])
    first = scan.affine @ [0, 0, 0 if sign > 0 else 3, 1]
    np.testing.assert_allclose(first[:3], flip @ [10, 20, 30], atol=1e-9)
    np.testing.assert_allclose(scan.affine[:3, 2], flip @ NORMAL * 3, atol=1e-9)
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 4))[:, :, ::sign])


def test_p02_frames_may_be_shuffled(tmp_path):
    scan = read(nuclear(tmp_path / "s", slices=(3, 1, 4, 2)))
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 4))[:, :, [1, 3, 0, 2]])


def test_p05_gates_are_volumes_of_their_own(tmp_path):
    path = nuclear(tmp_path / "s", slices=(1, 2, 1, 2), TimeSlotVector=[1, 1, 2, 2])
    assert [[frame.index for frame in one.frames] for one in list_series(path)] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            {"ImageType": ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]},
            "nuclear medicine image that is no reconstruction",
        ),
        ({"DetectorInformationSequence": None}, "DetectorInformationSequence is missing"),
        ({"SpacingBetweenSlices": None}, "SpacingBetweenSlices is missing"),
        ({"SpacingBetweenSlices": 0}, "SpacingBetweenSlices is 0"),
        ({"SliceVector": None}, "SliceVector is missing"),
        ({"SliceVector": [1, 2, 4, 5]}, "missing slice"),
        ({"SliceVector": [1, 2, 2, 3]}, "duplicate slice position"),
        ({"DetectorInformationSequence": item(ImagePositionPatient=[1, 2, 3])}, "ImageOrientationPatient is missing"),
    ],
)
def test_p06_a_reconstruction_that_says_too_little_is_refused(tmp_path, tags, message):
    with pytest.raises(InputError, match=message):
        read(nuclear(tmp_path / "s", **tags))
