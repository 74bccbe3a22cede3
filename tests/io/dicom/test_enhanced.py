"""Enhanced multi-frame objects: every frame placed by its own groups, volumes told apart, parts asked for."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.dicom.volumes import list_series
from medssl.io.read import read, read_all
from tests.io.multi_frames import item, write_enhanced
from tests.io.scans import marked


def test_p02_frames_may_be_shuffled(tmp_path):
    scan = read(write_enhanced(tmp_path / "s", [2, 0, 3, 1]))
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 4)))
    np.testing.assert_allclose(scan.affine[:3, 3], [-10, -20, 30])


@pytest.mark.parametrize(
    "facts",
    [
        lambda t: {"TemporalPositionSequence": item(TemporalPositionTimeOffset=2.5 * t)},
        lambda t: {"CardiacSynchronizationSequence": item(NominalCardiacTriggerDelayTime=40.0 * t)},
        lambda t: {"MREchoSequence": item(EffectiveEchoTime=10.0 + 15 * t)},
        lambda t: {"MRDiffusionSequence": item(DiffusionBValue=1000.0 * t)},
        lambda t: {
            "MRDiffusionSequence": item(
                DiffusionBValue=1000.0,
                DiffusionDirectionality="DIRECTIONAL",
                DiffusionGradientDirectionSequence=item(DiffusionGradientOrientation=[[1, 0, 0], [0, 1, 0]][t]),
            )
        },
        lambda t: {"FrameContentSequence": item(StackID=str(t + 1), InStackPositionNumber=1)},
        lambda t: {"FrameContentSequence": item(StackID="1", TemporalPositionIndex=t + 1)},
        lambda t: {"FrameContentSequence": item(StackID="1", DimensionIndexValues=[1, t + 1])},
        lambda t: {"MRModifierSequence": item(InversionTimes=[300.0 * (t + 1)])},
        lambda t: {"MRImageFrameTypeSequence": item(FrameType=["ORIGINAL", "PRIMARY", ["FAT", "WATER"][t], "NONE"])},
        lambda t: {"MRImageFrameTypeSequence": item(ComplexImageComponent=["MAGNITUDE", "PHASE"][t])},
    ],
    ids=[
        "time",
        "cardiac",
        "echo",
        "b-value",
        "direction",
        "stack",
        "time index",
        "dimension",
        "inversion",
        "frame type",
        "component",
    ],
)
def test_p05_frames_of_two_kinds_never_mix(tmp_path, facts):
    # the two volumes alternate, and the second one runs backwards
    places = [0, 3, 1, 2, 2, 1, 3, 0]

    def change(n, group, data):
        for name, value in facts(n % 2).items():
            setattr(group, name, value)
        group.PixelValueTransformationSequence = item(RescaleSlope=1, RescaleIntercept=1000 * (n % 2))

    path = write_enhanced(tmp_path / "s", places, change)
    with pytest.raises(InputError, match="more than one volume"):
        read(path)
    first, second = read_all(path)
    np.testing.assert_array_equal(first.data[0], marked((6, 5, 4)))
    np.testing.assert_array_equal(second.data[0], marked((6, 5, 4)) + 1000)
    np.testing.assert_allclose(first.affine, second.affine)


def test_p03_frames_that_nothing_tells_apart_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"duplicate slice position: IM00[.]dcm frame 2 and IM00[.]dcm frame 4"):
        read(write_enhanced(tmp_path / "s", [0, 1, 2, 1]))


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("PlanePositionSequence", "frame 3: no PlanePositionSequence"),
        ("PixelValueTransformationSequence", "frame 3 has no PixelValueTransformationSequence"),
    ],
)
def test_p06_a_missing_group_is_refused_by_frame(tmp_path, group, message):
    def change(n, groups, data):
        if n == 2:
            delattr(groups, group)

    with pytest.raises(InputError, match=message):
        read(write_enhanced(tmp_path / "s", range(4), change))


@pytest.mark.parametrize(
    ("group", "tags", "message"),
    [
        ("PlanePositionSequence", {"ImagePositionPatient": [1, 2]}, "frame 3: ImagePositionPatient must have 3"),
        ("PlanePositionSequence", {}, "frame 3: ImagePositionPatient is missing"),
        ("PixelMeasuresSequence", {"PixelSpacing": [0, 1]}, "frame 3: PixelSpacing must be positive"),
        ("PlaneOrientationSequence", {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "frame 3: .*not orthogonal"),
        ("PixelValueTransformationSequence", {"RescaleSlope": 0, "RescaleIntercept": 0}, "frame 3: RescaleSlope is 0"),
    ],
)
def test_p06_a_senseless_group_is_refused_by_frame(tmp_path, group, tags, message):
    def change(n, groups, data):
        if n == 2:
            setattr(groups, group, item(**tags))

    with pytest.raises(InputError, match=message):
        read(write_enhanced(tmp_path / "s", range(4), change))


def test_p09_parts_of_complex_numbers_are_listed_and_not_read(tmp_path):
    def change(n, group, data):
        data.ComplexImageComponent = "MIXED"
        kind = ["MAGNITUDE", "IMAGINARY"][n % 2]
        group.MRImageFrameTypeSequence = item(ComplexImageComponent=kind)

    path = write_enhanced(tmp_path / "s", [0, 0, 1, 1, 2, 2], change)
    assert len(list_series(path)) == 2
    np.testing.assert_array_equal(read(path, series=1).data[0], marked((6, 5, 3)))
    with pytest.raises(InputError, match=r"complex image .imaginary part"):
        read(path, series=2)


def concatenated(number, total):
    def change(n, group, data):
        data.ConcatenationUID, data.InConcatenationNumber = "1.2.77", number
        if total is not None:
            data.InConcatenationTotalNumber = total

    return change


@pytest.mark.parametrize("total", [3, None], ids=["total", "no total"])
def test_p03_a_concatenation_needs_all_its_parts(tmp_path, total):
    folder = tmp_path / "s"
    places = {1: [0, 1], 2: [4, 5], 3: [3, 2]}
    for number in (1, 3):
        write_enhanced(folder, places[number], concatenated(number, total), f"P{number}.dcm", 6)
    with pytest.raises(InputError, match="part 2 of a concatenation of 3 files is missing"):
        read(folder)
    write_enhanced(folder, places[2], concatenated(2, total), "P2.dcm", 6)
    scan = read(folder)
    assert scan.shape == (6, 5, 6)
    np.testing.assert_array_equal(scan.data[0], marked((6, 5, 6)))
    write_enhanced(folder, places[2], concatenated(2, total), "P4.dcm", 6)
    with pytest.raises(InputError, match=r"P2[.]dcm and P4[.]dcm are the same part"):
        read(folder)


def test_p03_a_part_alone_asks_for_its_folder(tmp_path):
    with pytest.raises(InputError, match=r"part 2 of a concatenation of 2 files .*give the folder"):
        read(write_enhanced(tmp_path / "s", range(4), concatenated(1, 2)))
