"""Folders sorted into volumes: what parts always, what parts where planes lie on each other, what never does (P5)."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.volumes import list_series
from medssl.io.read import read, read_all
from tests.io.scans import marked, write_slices


def planes(folder, n, tags, **settings):
    """A stack of 4 slices whose values start at 1000·n."""
    return write_slices(folder / f"t{n}", RescaleIntercept=1000 * n, **tags, **settings)


def jittered(n, data):
    data.ImagePositionPatient = [10.0, 20.0, 30.0 + 3 * n + 0.008 * (-1) ** n]


@pytest.mark.parametrize(
    "tags",
    [
        lambda t: {"TemporalPositionIdentifier": t},
        lambda t: {"AcquisitionNumber": t},
        lambda t: {"EchoNumbers": t},
        lambda t: {"DiffusionGradientOrientation": [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]][t]},
        lambda t: {"TriggerTime": 33.3 * t},
        lambda t: {"InversionTime": 100 * (t + 1)},
        lambda t: {"AcquisitionTime": f"10000{t}.5"},
        lambda t: {"EchoTime": 10 + t},
        lambda t: {"DiffusionBValue": 500.0 * t},
        lambda t: {"ImageType": ["DERIVED", "PRIMARY", "DIXON", ["WATER", "FAT", "IN_PHASE"][t]]},
        lambda t: {"PhotometricInterpretation": ["MONOCHROME2", "MONOCHROME1", "MONOCHROME2"][t], "EchoNumbers": t},
        lambda t: {"StudyInstanceUID": f"1.2.{t}"},
        lambda t: {"RescaleType": ["HU", "US", "OD"][t]},
    ],
)
def test_p05_three_stacks_in_one_place_are_three_volumes(tmp_path, tags):
    for t in range(3):
        planes(tmp_path, t, tags(t))
    found = read_all(tmp_path)
    assert len(found) == 3
    for t, scan in enumerate(found):
        np.testing.assert_array_equal(scan.data[0], marked((6, 5, 4)) + 1000 * t)


def test_p05_two_facts_together_tell_planes_apart(tmp_path):
    for n in range(4):
        planes(tmp_path, n, {"EchoNumbers": n // 2, "TriggerTime": 50 * (n % 2)})
    assert [int(scan.data.min()) for scan in read_all(tmp_path)] == [0, 1000, 2000, 3000]


def test_p05_times_whose_positions_jitter_are_told_apart(tmp_path):
    planes(tmp_path, 0, {"TriggerTime": 0})
    planes(tmp_path, 1, {"TriggerTime": 50}, change=jittered)
    assert [int(scan.data.min()) for scan in read_all(tmp_path)] == [0, 1000]


def test_p05_a_time_that_lacks_a_slice_is_refused_alone(tmp_path):
    planes(tmp_path, 0, {"TriggerTime": 0})
    planes(tmp_path, 1, {"TriggerTime": 50}, count=6, change=lambda n, data: n != 2)
    planes(tmp_path, 2, {"TriggerTime": 90}, count=6, change=lambda n, data: n != 3)
    found = list_series(tmp_path)
    assert [len(one.frames) for one in found] == [4, 5, 5]
    assert int(found[0].read().data.max()) == 119
    for one in found[1:]:
        with pytest.raises(InputError, match="missing slice"):
            one.read()


def test_p05_a_time_that_was_broken_off_is_listed(tmp_path):
    for n in range(3):
        planes(tmp_path, n, {"TemporalPositionIdentifier": n}, count=6 if n < 2 else 2)
    assert [len(one.frames) for one in list_series(tmp_path)] == [6, 6, 2]


def test_p05_two_acquisitions_half_a_step_apart_are_two_volumes(tmp_path):
    def half(n, data):
        data.ImagePositionPatient = [10.0, 20.0, 31.5 + 3 * n]

    planes(tmp_path, 0, {"AcquisitionNumber": 1})
    planes(tmp_path, 1, {"AcquisitionNumber": 2}, change=half)
    assert [scan.affine[2, 3] for scan in read_all(tmp_path)] == [30.0, 31.5]


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TemporalPositionIdentifier"])
@pytest.mark.parametrize("each", [1, 2, 3])
def test_p05_acquisitions_that_follow_each_other_along_the_table_are_one_volume(tmp_path, keyword, each):
    def count(n, data):
        setattr(data, keyword, n // each)

    scan = read(write_slices(tmp_path / "s", count=9, change=count))
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 9)))


def test_p05_slices_taken_in_turns_are_one_volume(tmp_path):
    def odd_first(n, data):
        data.AcquisitionTime = "100000" if n % 2 else "100230"
        data.TriggerTime = 100.0 * (n % 2)
        data.AcquisitionNumber = 1

    assert read(write_slices(tmp_path / "s", count=8, change=odd_first)).shape == (6, 5, 8)


def test_p05_a_stray_image_type_leaves_a_gap_that_is_seen(tmp_path):
    def stray(n, data):
        if n == 2:
            data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    folder = write_slices(tmp_path / "s", count=6, change=stray)
    with pytest.raises(InputError, match="differing in image type"):
        read(folder)
    with pytest.raises(InputError, match="missing slice"):
        read(folder, series=1)


def test_p05_the_spelling_of_numbers_parts_nothing(tmp_path):
    def spelled(n, data):
        data.EchoTime = ["4.6", "4.60", "+4.6", "46e-1"][n]
        data.ImageType = ["ORIGINAL", "Primary" if n else "PRIMARY", "AXIAL"]

    from pydicom import config

    mode, config.settings.writing_validation_mode = config.settings.writing_validation_mode, config.IGNORE
    try:
        folder = write_slices(tmp_path / "s", change=spelled)
    finally:
        config.settings.writing_validation_mode = mode
    assert read(folder).shape == (6, 5, 4)


def test_p05_a_localizer_of_three_planes_is_listed(tmp_path):
    for n, (turn, step) in enumerate(
        [((1, 0, 0, 0, 1, 0), (0, 0, 3)), ((0, 1, 0, 0, 0, -1), (3, 0, 0)), ((1, 0, 0, 0, 0, -1), (0, 3, 0))]
    ):
        planes(tmp_path, n, {}, directions=turn, step=step)
    with pytest.raises(InputError, match=r"3 series or multiple parts, differing in orientation"):
        read(tmp_path)


def test_p05_a_uid_for_every_slice_is_listed_shortly(tmp_path):
    def own(n, data):
        data.SeriesInstanceUID = f"1.2.3.{n}"

    folder = write_slices(tmp_path / "s", count=11, change=own)
    write_slices(folder / "b", count=9, change=lambda n, data: setattr(data, "SeriesInstanceUID", f"1.3.{n}"))
    with pytest.raises(InputError, match=r"20 series .*differing in series.*and 8 more") as caught:
        read(folder)
    assert caught.value.code == "several-volumes"


def test_p03_byte_copies_are_told_by_name(tmp_path):
    folder = write_slices(tmp_path / "s")
    shutil.copy(folder / "IM07.dcm", folder / "IM07 copy.dcm")
    with pytest.raises(InputError, match=r"IM07 copy[.]dcm and IM07[.]dcm .*byte copies.*remove the copies"):
        read(folder)
    shutil.rmtree(folder)
    shutil.copytree(write_slices(tmp_path / "t"), tmp_path / "t" / "again")
    with pytest.raises(InputError, match=r"byte copies of one file [(]4 such pairs[)]"):
        read(tmp_path / "t")


def test_p03_one_name_for_two_contents_is_told(tmp_path):
    folder = write_slices(tmp_path / "s")
    write_slices(folder / "b", count=1, RescaleIntercept=7)
    with pytest.raises(InputError, match="the same SOPInstanceUID with different content"):
        read(folder)


def test_p03_planes_side_by_side_are_no_stack(tmp_path):
    with pytest.raises(InputError, match=r"lie in one plane, \d+ mm beside each other"):
        read(write_slices(tmp_path / "s", step=(5.0, 0, 0)))


@pytest.mark.parametrize("vendor", ["siemens", "ge", "philips"])
def test_p05_directions_of_old_diffusion_scans_are_told_by_the_vendors_elements(tmp_path, vendor):
    def change(t):
        def direction(n, data):
            data.Modality = "MR"
            vector = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]][t]
            if vendor == "siemens":
                data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0E, "FD", vector)
            elif vendor == "ge":
                block = data.private_block(0x0019, "GEMS_ACQU_01", create=True)
                for place, part in zip((0xBB, 0xBC, 0xBD), vector, strict=True):
                    block.add_new(place, "DS", part)
            else:
                block = data.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
                for place, part in zip((0xB0, 0xB1, 0xB2), vector, strict=True):
                    block.add_new(place, "FL", part)

        return direction

    for t in range(2):
        planes(tmp_path, t, {}, change=change(t))
    assert [int(scan.data.min()) for scan in read_all(tmp_path)] == [0, 1000]


def test_p05_times_that_a_number_alone_tells_apart_are_refused(tmp_path):
    for t in range(3):
        planes(tmp_path, t, {"InstanceNumber": t, "SOPInstanceUID": f"1.2.{t}"})
    with pytest.raises(InputError, match=r"duplicate slice position.*12 slices in 4 places, as of 3 times"):
        read(tmp_path)
