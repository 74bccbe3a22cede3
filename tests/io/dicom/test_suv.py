"""PET in standardised uptake values: closed form, over midnight, and refusals by tag name."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.commands.convert import convert
from medssl.errors import InputError
from medssl.io.read import read
from medssl.io.write import write
from tests.io.label_files import item
from tests.io.scans import marked, volume, write_slices

F18 = 6586.2


def dose(**changes):
    tags = {
        "RadionuclideTotalDose": 3.7e8,
        "RadionuclideHalfLife": F18,
        "RadiopharmaceuticalStartTime": "100000.00",
        **changes,
    }
    return [item(**{name: value for name, value in tags.items() if value is not None})]


PET = {
    "Modality": "PT",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128",
    "Units": "BQML",
    "DecayCorrection": "START",
    "CorrectedImage": ["DECY", "ATTN", "SCAT", "RAN"],
    "PatientWeight": 70.0,
    "SeriesDate": "20240310",
    "SeriesTime": "110000",
    "AcquisitionDate": "20240310",
    "AcquisitionTime": "110005.5",
    "FrameReferenceTime": 60000.0,
    "ActualFrameDuration": 120000,
}


def pet(folder, information=None, change=None, **tags):
    def complete(n, data):
        data.RescaleSlope, data.RescaleIntercept = 10.0 + n, 0
        data.RadiopharmaceuticalInformationSequence = dose() if information is None else information
        if change is not None:
            change(n, data)

    merged = {name: value for name, value in {**PET, **tags}.items() if value is not None}
    return write_slices(folder, change=complete, **merged)


def expected(seconds, weight=70.0, injected=3.7e8, half_life=F18):
    """SUVbw of every voxel: Bq/ml times grams by the dose that is left."""
    return marked((6, 5, 4)) * (10.0 + np.arange(4)) * weight * 1000 / (injected * 0.5 ** (seconds / half_life))


def test_activity_becomes_suv_with_each_slices_own_slope_first(tmp_path):
    folder = pet(tmp_path / "pet")
    plain = read(folder)
    assert (plain.tags["units"], plain.flags) == ("BQML", ())
    scan = read(folder, suv=True)
    np.testing.assert_allclose(scan.data[0], expected(3600), rtol=2e-6)
    assert scan.data.dtype == np.float32
    assert scan.tags["units"] == "SUVbw"
    assert scan.flags == ("suv_bw",)


def test_a_dose_before_midnight(tmp_path):
    night = {"SeriesTime": "003000", "AcquisitionTime": "003010"}
    by_time = read(pet(tmp_path / "a", dose(RadiopharmaceuticalStartTime="234500"), **night), suv=True)
    np.testing.assert_allclose(by_time.data[0], expected(2700), rtol=2e-6)
    assert by_time.flags == ("suv_bw", "suv_start_day")
    leap = {**night, "SeriesDate": "20240301", "AcquisitionDate": "20240301"}
    stamp = dose(RadiopharmaceuticalStartTime="234500", RadiopharmaceuticalStartDateTime="20240229234500.000")
    dated = read(pet(tmp_path / "b", stamp, **leap), suv=True)
    np.testing.assert_allclose(dated.data[0], expected(2700), rtol=2e-6)
    assert dated.flags == ("suv_bw",)


def test_a_zone_moves_the_start(tmp_path):
    stamp = dose(RadiopharmaceuticalStartDateTime="20240310110000+0200")
    scan = read(pet(tmp_path / "a", stamp, TimezoneOffsetFromUTC="+0100"), suv=True)
    np.testing.assert_allclose(scan.data[0], expected(3600), rtol=2e-6)


def test_a_dose_that_images_are_corrected_to_is_not_decayed(tmp_path):
    scan = read(pet(tmp_path / "a", dose(RadionuclideHalfLife=None), DecayCorrection="ADMIN"), suv=True)
    np.testing.assert_allclose(scan.data[0], expected(0), rtol=2e-6)


def test_a_series_made_later_counts_back_from_the_acquisition(tmp_path):
    def later(n, data):
        # the second bed, five minutes on: the earliest acquisition counts
        if n < 2:
            data.AcquisitionTime, data.FrameReferenceTime = "110505.5", 360000.0

    folder = pet(tmp_path / "a", change=later, SeriesTime="154500")
    scan = read(folder, suv=True)
    rate = np.log(2) / F18
    middle = np.log(rate * 120 / (1 - np.exp(-rate * 120))) / rate
    assert middle == pytest.approx(60, abs=0.2)
    np.testing.assert_allclose(scan.data[0], expected(3605.5 - 60 + middle), rtol=2e-6)
    assert scan.flags == ("suv_bw", "suv_acquisition_time")
    bare = read(pet(tmp_path / "b", SeriesTime="154500", FrameReferenceTime=None), suv=True)
    np.testing.assert_allclose(bare.data[0], expected(3605.5), rtol=2e-6)


def test_counts_of_a_scanner_that_says_what_they_are(tmp_path):
    def private(**values):
        def add(n, data):
            data.add_new(0x70530010, "LO", "Philips PET Private Group")
            for place, value in values.items():
                data.add_new(int(place.removeprefix("t"), 16), "DS", value)

        return add

    scan = read(pet(tmp_path / "a", change=private(t70531000="0.000125"), Units="CNTS"), suv=True)
    np.testing.assert_allclose(scan.data[0], marked((6, 5, 4)) * (10.0 + np.arange(4)) * 0.000125, rtol=2e-6)
    both = private(t70531000="0", t70531009="2.5")
    np.testing.assert_allclose(
        read(pet(tmp_path / "b", change=both, Units="CNTS"), suv=True).data[0], 2.5 * expected(3600), rtol=2e-6
    )
    with pytest.raises(InputError, match=r"neither \(7053,1000\) nor \(7053,1009\)"):
        read(pet(tmp_path / "c", Units="CNTS"), suv=True)


def test_grams_by_millilitre_are_suv_already(tmp_path):
    scan = read(pet(tmp_path / "a", Units="GML", PatientWeight=None), suv=True)
    np.testing.assert_allclose(scan.data[0], marked((6, 5, 4)) * (10.0 + np.arange(4)), rtol=1e-6)
    with pytest.raises(InputError, match="SUVType is not BW"):
        read(pet(tmp_path / "b", Units="GML", SUVType="LBM"), suv=True)


@pytest.mark.parametrize(
    ("tags", "information", "message"),
    [
        ({"PatientWeight": None}, None, "PatientWeight is missing"),
        ({"PatientWeight": 0}, None, "PatientWeight is out of range"),
        ({"PatientWeight": 70000}, None, "PatientWeight is out of range"),
        ({"Units": "NONE"}, None, "Units must be BQML, CNTS or GML, got NONE"),
        ({"Units": None}, None, "got missing"),
        ({"DecayCorrection": "NONE"}, None, "DecayCorrection must be START or ADMIN, got NONE"),
        ({"CorrectedImage": ["DECY", "SCAT"]}, None, "CorrectedImage lacks ATTN"),
        ({}, [], "RadiopharmaceuticalInformationSequence must have one item, got 0"),
        ({}, dose() + dose(), "must have one item, got 2"),
        ({}, dose(RadionuclideTotalDose=None), "RadionuclideTotalDose is missing"),
        ({}, dose(RadionuclideTotalDose=370), "RadionuclideTotalDose is out of range, expected 100000"),
        ({}, dose(RadionuclideHalfLife=0), "RadionuclideHalfLife is out of range"),
        ({}, dose(RadiopharmaceuticalStartTime=None), "StartDateTime and RadiopharmaceuticalStartTime are missing"),
        ({}, dose(RadiopharmaceuticalStartTime="256000"), "missing or no time"),
        ({}, dose(RadiopharmaceuticalStartDateTime="20240311090000"), "a date or time is wrong"),
        ({}, dose(RadiopharmaceuticalStartDateTime="20200310090000"), "a date or time is wrong"),
        ({"SeriesDate": None, "AcquisitionTime": None}, None, "AcquisitionDate, AcquisitionTime, SeriesDate"),
        ({"Modality": "CT"}, None, "of PET alone, Modality is CT"),
    ],
)
def test_what_the_tags_do_not_allow_is_named(tmp_path, tags, information, message):
    folder = pet(tmp_path / "a", information, **tags)
    with pytest.raises(InputError, match=message) as caught:
        read(folder, suv=True)
    assert caught.value.code == "suv"
    assert "CANARY" not in str(caught.value)
    for private in ("70000", "2024", "154500"):
        assert private not in caught.value.reason


def test_slices_that_disagree_are_refused_by_file(tmp_path):
    def other(n, data):
        if n == 2:
            data.PatientWeight = 71.0

    with pytest.raises(InputError, match=r"PatientWeight differs from that of IM\d\d[.]dcm"):
        read(pet(tmp_path / "a", change=other), suv=True)


def test_without_the_list_of_corrections_there_is_a_flag(tmp_path):
    assert read(pet(tmp_path / "a", CorrectedImage=None), suv=True).flags == ("suv_bw", "suv_corrections_unknown")


def test_a_file_without_tags_is_refused(tmp_path):
    write(volume(), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="needs the tags of a DICOM PET"):
        read(tmp_path / "a.nii.gz", suv=True)


def test_units_that_are_no_defined_term_are_not_kept(tmp_path):
    assert "units" not in read(pet(tmp_path / "a", Units="CANARY")).tags


def test_convert_gives_suv(tmp_path):
    result = convert(pet(tmp_path / "pet"), tmp_path / "suv.nii.gz", suv=True)
    assert (result["units"], result["flags"], result["dtype"]) == ("SUVbw", ["suv_bw"], "float32")
    np.testing.assert_allclose(read(tmp_path / "suv.nii.gz").data[0], expected(3600), rtol=2e-6)
