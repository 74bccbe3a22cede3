"""DICOM: exact geometry from positions alone, and refusals that name both files."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.read import read, read_all
from tests.io.scans import at_mm, marked, write_slices


def test_affine_and_order_come_from_positions(tmp_path):
    scan = read(write_slices(tmp_path / "s"))
    np.testing.assert_allclose(
        scan.affine, [[-0.7, 0, 0, -10], [0, -1.9, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]], atol=1e-12
    )
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 4)))
    assert scan.data.dtype == np.int16
    assert scan.tags["modality"] == "CT"
    assert scan.flags == ()


def test_a_sagittal_series_keeps_its_handedness(tmp_path):
    scan = read(write_slices(tmp_path / "s", step=(3.0, 0, 0), directions=(0, 1, 0, 0, 0, -1)))
    # column 5, row 1, slice 2: LPS (16, 20 + 5·0.7, 30 − 1.9)
    assert at_mm(scan, np.array([-16.0, -23.5, 28.1])) == marked((6, 5, 4))[5, 1, 2]


def test_gantry_tilt_gives_a_sheared_affine(tmp_path):
    tilt = np.radians(15)
    scan = read(write_slices(tmp_path / "s", directions=(1, 0, 0, 0, np.cos(tilt), np.sin(tilt))))
    assert scan.flags == ("sheared",)
    np.testing.assert_allclose(scan.affine[:3, 2], [0, 0, 3], atol=1e-9)
    np.testing.assert_allclose(scan.affine[:3, 1], [0, -1.9 * np.cos(tilt), 1.9 * np.sin(tilt)], atol=1e-9)


def test_a_missing_slice_is_named_with_its_millimetres(tmp_path):
    folder = write_slices(tmp_path / "s", count=6, change=lambda n, data: n != 2)
    with pytest.raises(InputError, match=r"missing slice.*IM07.dcm and IM10.dcm lie 6 mm apart.*3 mm"):
        read(folder)


def test_gaps_can_be_resampled_with_a_flag(tmp_path):
    folder = write_slices(tmp_path / "s", count=6, change=lambda n, data: n != 2)
    scan = read(folder, allow_gaps=True)
    assert scan.flags == ("gaps_resampled",)
    assert scan.shape == (6, 5, 6)
    np.testing.assert_allclose(scan.data[0], marked((6, 5, 6)))
    np.testing.assert_allclose(scan.affine[:3, 2], [0, 0, 3])


def test_two_slices_at_one_place_are_refused(tmp_path):
    def double(n, data):
        if n == 2:
            data.ImagePositionPatient = [10.0, 20.0, 33.0]

    with pytest.raises(InputError, match=r"duplicate slice position: IM03[.]dcm and IM07[.]dcm"):
        read(write_slices(tmp_path / "s", change=double))


def test_micrometres_of_jitter_are_no_gap(tmp_path):
    def jitter(n, data):
        data.ImagePositionPatient = [10.0, 20.0, 30.0 + 3 * n + (-1) ** n * 2e-4]

    assert read(write_slices(tmp_path / "s", change=jitter)).shape == (6, 5, 4)


def test_a_slice_beside_the_line_is_refused(tmp_path):
    def aside(n, data):
        if n == 1:
            data.ImagePositionPatient = [12.0, 20.0, 33.0]

    with pytest.raises(InputError, match=r"inconsistent ImagePositionPatient: IM07[.]dcm lies 2 mm beside"):
        read(write_slices(tmp_path / "s", change=aside))


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("ImagePositionPatient", None, "ImagePositionPatient is missing"),
        ("ImageOrientationPatient", [1, 0, 0, 0.6, 0.8, 0], "not orthogonal"),
        ("ImageOrientationPatient", [0, 0, 0, 0, 1, 0], "length"),
        ("PixelSpacing", [0, 1], "PixelSpacing must be positive"),
        ("PixelSpacing", [1.0], "PixelSpacing must have 2 numbers, got 1"),
        ("RescaleSlope", 0, "RescaleSlope is 0"),
        ("SamplesPerPixel", 3, "colour image"),
        ("PhotometricInterpretation", "PALETTE COLOR", "palette"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.66.4", "segmentation"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "MOSAIC"], "mosaic"),
        ("NumberOfFrames", 3, "multi-frame object without functional groups"),
    ],
)
def test_what_is_not_a_volume_is_refused_by_name(tmp_path, keyword, value, message):
    with pytest.raises(InputError, match=message) as caught:
        read(write_slices(tmp_path / "s", **{keyword: value}))
    assert "IM" in str(caught.value.path)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SeriesInstanceUID", "1.2.3.9"),
        ("EchoTime", 40.0),
        ("PatientID", "another"),
        ("FrameOfReferenceUID", "1.9"),
        ("ImageType", ["DERIVED", "PRIMARY"]),
    ],
)
def test_volumes_in_one_folder_never_mix(tmp_path, keyword, value):
    write_slices(tmp_path / "s")
    write_slices(tmp_path / "s" / "b", **{keyword: value, "RescaleIntercept": 1000})
    with pytest.raises(InputError, match=r"more than one volume \(2 series") as caught:
        read(tmp_path / "s")
    assert caught.value.code == "several-volumes"
    assert "another" not in str(caught.value)
    assert [int(scan.data.min()) for scan in read_all(tmp_path / "s")] == [0, 1000]
    assert int(read(tmp_path / "s", series=2).data.min()) == 1000


def test_time_points_under_one_series_are_told_apart(tmp_path):
    write_slices(tmp_path / "s", AcquisitionNumber=1)
    write_slices(tmp_path / "s" / "b", AcquisitionNumber=2, RescaleIntercept=1000)
    assert [scan.shape for scan in read_all(tmp_path / "s")] == [(6, 5, 4), (6, 5, 4)]


def test_acquisition_numbers_that_run_along_do_not_split(tmp_path):
    def count(n, data):
        data.AcquisitionNumber = n

    assert read(write_slices(tmp_path / "s", change=count)).shape == (6, 5, 4)


def test_slope_and_intercept_hold_slice_by_slice(tmp_path):
    def rescale(n, data):
        data.RescaleSlope, data.RescaleIntercept = 1.5 + n, -10 * n

    scan = read(write_slices(tmp_path / "s", change=rescale))
    slices = np.arange(4)
    np.testing.assert_allclose(scan.data[0], marked((6, 5, 4)) * (1.5 + slices) - 10 * slices, rtol=1e-6)


def test_unused_high_bits_are_cleared_and_the_sign_carried_on(tmp_path):
    def garbage(n, data):
        data.BitsStored, data.HighBit = 12, 11
        stored = (marked((6, 5, 4))[:, :, n].T - 50).astype("<i2").view("<u2")
        data.PixelData = ((stored & 0x0FFF) | 0xA000).astype("<u2").tobytes()

    np.testing.assert_array_equal(read(write_slices(tmp_path / "s", change=garbage)).data[0], marked((6, 5, 4)) - 50)


def test_a_cut_or_empty_slice_refuses_the_series_by_name(tmp_path):
    folder = write_slices(tmp_path / "s")
    whole = (folder / "IM07.dcm").read_bytes()
    for size in (len(whole) - 20, len(whole) // 2, 140, 0):
        (folder / "IM07.dcm").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"IM07\.dcm: "):
            read(folder)


def test_junk_is_passed_over_and_unknown_files_are_not(tmp_path):
    folder = write_slices(tmp_path / "s")
    for name in (".DS_Store", "._IM07.dcm", "Thumbs.db", "DICOMDIR", "notes.txt"):
        (folder / name).write_bytes(b"junk")
    assert read(folder).shape == (6, 5, 4)
    (folder / "IM99").write_bytes(b"junk")
    with pytest.raises(InputError, match="IM99: not a DICOM file"):
        read(folder)


def test_inverted_grey_levels_are_kept_and_flagged(tmp_path):
    assert read(write_slices(tmp_path / "s", PhotometricInterpretation="MONOCHROME1")).flags == ("monochrome1",)


def test_enhanced_frames_are_placed_by_their_groups(tmp_path):
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    order = [2, 0, 3, 1]

    def item(**tags):
        out = Dataset()
        for keyword, value in tags.items():
            setattr(out, keyword, value)
        return Sequence([out])

    def enhance(n, data):
        if n:
            return False
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
            delattr(data, keyword)
        del data.RescaleIntercept
        shared = Dataset()
        shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
        shared.PixelMeasuresSequence = item(PixelSpacing=[1.9, 0.7])
        data.SharedFunctionalGroupsSequence = Sequence([shared])
        groups = []
        for k in order:
            group = Dataset()
            group.PlanePositionSequence = item(ImagePositionPatient=[10, 20, 30 + 3 * k])
            group.PixelValueTransformationSequence = item(RescaleSlope=1 + k, RescaleIntercept=0)
            groups.append(group)
        data.PerFrameFunctionalGroupsSequence = Sequence(groups)
        data.NumberOfFrames = 4
        data.PixelData = b"".join(marked((6, 5, 4))[:, :, k].T.astype("<i2").tobytes() for k in order)
        return True

    folder = write_slices(tmp_path / "s", change=enhance)
    scan = read(folder / "IM00.dcm")
    np.testing.assert_allclose(scan.data[0], marked((6, 5, 4)) * (1 + np.arange(4)))
    np.testing.assert_allclose(scan.affine[:3, 3], [-10, -20, 30])


def test_a_single_slice_is_two_dimensional(tmp_path):
    with pytest.raises(InputError, match="single slice"):
        read(write_slices(tmp_path / "s", count=1))


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="no DICOM images"):
        read(tmp_path)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80"], ids=["RLE", "JPEG-LS"])
def test_compressed_series_read_bit_for_bit(tmp_path, syntax):
    from pydicom import dcmread

    folder = write_slices(tmp_path / "s", PixelRepresentation=0)
    for path in folder.iterdir():
        data = dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
    np.testing.assert_array_equal(read(folder).data[0], marked((6, 5, 4)))
    cut = folder / "IM07.dcm"
    cut.write_bytes(cut.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"IM07\.dcm"):
        read(folder)


def test_other_objects_beside_a_series_are_passed_over(tmp_path):
    folder = write_slices(tmp_path / "s")
    write_slices(folder / "dose", count=1, SeriesInstanceUID="8.8", SamplesPerPixel=3, PhotometricInterpretation="RGB")
    write_slices(folder / "rt", count=1, SeriesInstanceUID="7.7", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3")
    assert read(folder).shape == (6, 5, 4)
    write_slices(folder / "same", count=1, SamplesPerPixel=3)
    with pytest.raises(InputError, match="colour image"):
        read(folder)


def test_a_folder_with_several_says_in_what_they_differ(tmp_path):
    write_slices(tmp_path / "s")
    write_slices(tmp_path / "s" / "b", directions=(0, 1, 0, 0, 0, -1), step=(3, 0, 0), PixelSpacing=[1, 1])
    with pytest.raises(InputError, match="differing in orientation, pixel spacing"):
        read(tmp_path / "s")
