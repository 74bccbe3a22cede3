"""P5: a folder never mixes volumes; where there are several they are listed, and none is picked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydicom.sequence import Sequence as Items

import medssl
from medssl.cli import run
from medssl.io.read import read, read_all
from tests.promises.series import (
    CORONAL,
    PRIVATE,
    SAGITTAL,
    assert_same,
    enhanced,
    item,
    names_in,
    refusal,
    save,
    save_one,
    slices,
    truth,
    voxels,
)

OTHER = voxels() + np.int16(5000)
APART = {
    "series": {"SeriesInstanceUID": "1.2.3.99"},
    "frame of reference": {"FrameOfReferenceUID": "1.2.3.98"},
    "patient": {"PatientID": "CANARY-MRN-2"},
    "echo": {"EchoTime": 40.0},
    "echo number": {"EchoNumbers": 2},
    "temporal position": {"TemporalPositionIdentifier": 2},
    "acquisition": {"AcquisitionNumber": 2},
    "trigger time": {"TriggerTime": 400.0},
    "b-value": {"DiffusionBValue": 1000.0},
    "image type": {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
    "image type, magnitude and phase": {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
    "modality": {"Modality": "PT"},
    "inversion time": {"InversionTime": 900.0},
    "acquisition time": {"AcquisitionTime": "120500.0"},
    "frame reference time": {"FrameReferenceTime": 5000.0},
    "reconstruction kernel": {"ConvolutionKernel": "B70f"},
}


@pytest.mark.parametrize("tags", APART.values(), ids=APART.keys())
def test_p05_two_volumes_at_one_place_are_told_apart(tmp_path, tags):
    first = {"EchoTime": 5.0, "EchoNumbers": 1, "TemporalPositionIdentifier": 1, "AcquisitionNumber": 1}
    first |= {"TriggerTime": 0.0, "DiffusionBValue": 0.0, "InversionTime": 100.0, "AcquisitionTime": "120000.0"}
    first |= {"FrameReferenceTime": 0.0, "ConvolutionKernel": "B30f"}
    save(slices(**first), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER, **(first | tags)), tmp_path / "s", lambda n: f"B{n}")
    error = refusal(tmp_path / "s")
    assert error.code == "several-volumes"
    assert names_in(error, "more than one", "A0", "B0")
    one, two = read_all(tmp_path / "s")
    assert_same(one, voxels(), truth())
    assert_same(two, OTHER, truth())
    assert_same(read(tmp_path / "s", series=2), OTHER, truth())


@pytest.mark.parametrize(
    "tags",
    [
        {"SeriesInstanceUID": "1.2.3.99"},
        {"PatientID": "CANARY-MRN-2"},
        {"FrameOfReferenceUID": "1.2.3.98"},
        {"EchoTime": 40.0},
        {"DiffusionBValue": 1000.0},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL"]},
        {"TemporalPositionIdentifier": 2},
        {"ConvolutionKernel": "B70f"},
        {"Modality": "PT"},
    ],
)
def test_p05_volumes_interleaved_in_space_are_not_woven_into_one(tmp_path, tags):
    # the second lies half a step higher: sorted by position alone they would look like one fine volume
    first = {"EchoTime": 5.0, "DiffusionBValue": 0.0, "TemporalPositionIdentifier": 1, "ConvolutionKernel": "B30f"}
    save(slices(**first), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER, origin=(10.5, -20.25, 31.5), **(first | tags)), tmp_path / "s", lambda n: f"B{n}")
    error = refusal(tmp_path / "s")
    assert error.code == "several-volumes"
    one, two = read_all(tmp_path / "s")
    assert_same(one, voxels(), truth())
    assert_same(two, OTHER, truth(origin=(10.5, -20.25, 31.5)))


@pytest.mark.parametrize(
    "tags",
    [
        {"SeriesInstanceUID": "1.2.3.99"},
        {"PatientID": "CANARY-MRN-2"},
        {"FrameOfReferenceUID": "1.2.3.98"},
        {"EchoTime": 40.0},
    ],
)
def test_p05_volumes_that_follow_on_each_other_are_not_joined(tmp_path, tags):
    save(slices(EchoTime=5.0), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER, origin=(10.5, -20.25, 42.0), **({"EchoTime": 5.0} | tags)), tmp_path / "s", lambda n: f"B{n}")
    assert refusal(tmp_path / "s").code == "several-volumes"
    assert [scan.shape for scan in read_all(tmp_path / "s")] == [(6, 5, 4), (6, 5, 4)]


@pytest.mark.parametrize(
    ("made", "affine"),
    [
        (slices(OTHER, directions=SAGITTAL), truth(SAGITTAL)),
        (slices(OTHER, directions=CORONAL), truth(CORONAL)),
        (slices(OTHER, spacing=(1.0, 1.0)), truth(spacing=(1.0, 1.0))),
        (slices(OTHER, spacing=(0.7, 1.9)), truth(spacing=(0.7, 1.9))),
    ],
    ids=["sagittal", "coronal", "pixel spacing", "pixel spacing swapped"],
)
def test_p05_another_geometry_is_another_volume(tmp_path, made, affine):
    save(slices(), tmp_path / "s", lambda n: f"A{n}")
    save(made, tmp_path / "s", lambda n: f"B{n}")
    assert refusal(tmp_path / "s").code == "several-volumes"
    one, two = read_all(tmp_path / "s")
    assert_same(one, voxels(), truth())
    assert_same(two, OTHER, affine)


def test_p05_another_matrix_is_another_volume(tmp_path):
    wide = voxels((8, 7, 3))
    save(slices(), tmp_path / "s", lambda n: f"A{n}")
    save(slices(wide, origin=(10.5, -20.25, 42.0)), tmp_path / "s", lambda n: f"B{n}")
    error = refusal(tmp_path / "s")
    assert error.code == "several-volumes"
    assert names_in(error, "6", "8", "matrix")
    assert_same(read(tmp_path / "s", series=2), wide, truth(origin=(10.5, -20.25, 42.0)))


def test_p05_a_localizer_under_the_same_series_is_set_apart(tmp_path):
    scout = slices(voxels((9, 9, 1)), directions=CORONAL, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    save(slices(), tmp_path / "s", lambda n: f"A{n}")
    save(scout, tmp_path / "s", lambda n: f"B{n}")
    error = refusal(tmp_path / "s")
    assert error.code == "several-volumes"
    assert_same(read(tmp_path / "s", series=1), voxels(), truth())


def test_p05_one_slice_of_another_patient_is_never_swallowed(tmp_path):
    def other(k, one):
        if k == 2:
            one.PatientID = "CANARY-MRN-2"

    assert refusal(save(slices(change=other), tmp_path / "s")).code in ("several-volumes", "slices")


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "FrameOfReferenceUID", "EchoTime", "ImageType", "Modality"])
def test_p05_a_tag_that_one_slice_lacks_is_never_swallowed(tmp_path, keyword):
    def lacking(k, one):
        one.EchoTime = 5.0
        if k == 2:
            delattr(one, keyword)

    assert refusal(save(slices(change=lacking), tmp_path / "s")).code in ("several-volumes", "slices", "geometry")


@pytest.mark.parametrize(
    "tags",
    [
        lambda k: {"AcquisitionTime": f"12000{k}.{k}00"},
        lambda k: {"ContentTime": f"1200{10 + k}"},
        lambda k: {"AcquisitionNumber": k + 1},
        lambda k: {"TriggerTime": 25.0 * k},
        lambda k: {"FrameReferenceTime": 100.0 * k},
        lambda k: {"AcquisitionDateTime": f"2020010112000{k}.5"},
        lambda k: {"InstanceCreationTime": f"12{k}000"},
        lambda k: {"KVP": 120 + k, "ExposureTime": 500 + k, "XRayTubeCurrent": 200 - k},
        lambda k: {"WindowCenter": 40 + k, "WindowWidth": 400},
        lambda k: {"SmallestImagePixelValue": k, "LargestImagePixelValue": 100 + k},
    ],
)
def test_p05_times_that_run_along_with_the_slices_do_not_split(tmp_path, tags):
    def change(k, one):
        for keyword, value in tags(k).items():
            setattr(one, keyword, value)

    assert_same(read(save(slices(change=change), tmp_path / "s")), voxels(), truth())


def test_p05_time_points_whose_every_slice_has_its_own_time(tmp_path):
    # two passes: each slice of each has another second, and the temporal position tells them apart
    def first(k, one):
        one.AcquisitionTime, one.TemporalPositionIdentifier = f"12000{k}", 1

    def second(k, one):
        one.AcquisitionTime, one.TemporalPositionIdentifier = f"12010{k}", 2

    save(slices(change=first), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER, change=second), tmp_path / "s", lambda n: f"B{n}")
    one, two = read_all(tmp_path / "s")
    assert_same(one, voxels(), truth())
    assert_same(two, OTHER, truth())


def test_p05_doubles_that_nothing_tells_apart_are_refused(tmp_path):
    save(slices(), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER), tmp_path / "s", lambda n: f"B{n}")
    error = refusal(tmp_path / "s")
    assert error.code in ("slices", "several-volumes")


def test_p05_three_echoes_and_two_types_are_six_volumes(tmp_path):
    for echo in (1, 2, 3):
        for kind in ("M", "P"):
            stored = voxels() + np.int16(1000 * echo + (500 if kind == "P" else 0))
            made = slices(stored, EchoTime=float(10 * echo), ImageType=["ORIGINAL", "PRIMARY", kind])
            save(made, tmp_path / "s", lambda n, echo=echo, kind=kind: f"{echo}{kind}{n}")
    error = refusal(tmp_path / "s")
    assert names_in(error, "6", "echo time", "image type")
    assert sorted(int(scan.data.min()) for scan in read_all(tmp_path / "s")) == [1000, 1500, 2000, 2500, 3000, 3500]


def test_p05_patients_in_nested_folders(tmp_path):
    for patient in (1, 2, 3):
        made = slices(
            voxels() + np.int16(1000 * patient),
            PatientID=f"CANARY-MRN-{patient}",
            StudyInstanceUID=f"1.2.{patient}",
            SeriesInstanceUID=f"1.2.{patient}.4",
            FrameOfReferenceUID=f"1.2.{patient}.5",
        )
        save(made, tmp_path / "s" / f"P{patient}" / "study" / "series")
    error = refusal(tmp_path / "s")
    assert error.code == "several-volumes"
    assert "3" in error.reason
    assert sorted(int(scan.data.min()) for scan in read_all(tmp_path / "s")) == [1000, 2000, 3000]


def test_p05_the_listing_says_how_to_choose_and_nothing_private(tmp_path, capsys):
    save(slices(), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER, PatientID="CANARY-MRN-2", SeriesInstanceUID="1.2.3.99"), tmp_path / "s", lambda n: f"B{n}")
    assert run(["convert", str(tmp_path / "s"), str(tmp_path / "o.npz")]) == 3
    line = capsys.readouterr().err
    assert not (tmp_path / "o.npz").exists()
    assert len(line.strip().splitlines()) == 1
    assert "series" in line
    assert "4 slices" in line
    assert "6×5" in line
    assert not any(part in line for part in (*PRIVATE, "1.2.3.99", "MRN"))
    assert run(["convert", str(tmp_path / "s"), str(tmp_path / "o.npz"), "--series", "2"]) == 0
    with np.load(tmp_path / "o.npz") as file:
        assert int(file["data"].min()) == 5000


def test_p05_inspect_lists_every_volume(tmp_path, capsys):
    save(slices(), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER, EchoTime=40.0), tmp_path / "s", lambda n: f"B{n}")
    volumes = medssl.inspect(tmp_path / "s")["volumes"]
    assert [one["series"] for one in volumes] == [1, 2]
    assert [one["range"] for one in volumes] == [[0.0, 119.0], [5000.0, 5119.0]]
    assert run(["inspect", str(tmp_path / "s"), "--json"]) == 0
    printed = capsys.readouterr().out
    assert len(json.loads(printed)["volumes"]) == 2
    assert not any(part in printed for part in PRIVATE)


def test_p05_a_number_that_is_not_there_is_refused_with_the_list(tmp_path):
    save(slices(), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER, EchoTime=40.0), tmp_path / "s", lambda n: f"B{n}")
    for wanted in (0, 3, "1.2.3.4.5.6", "-1"):
        error = refusal(tmp_path / "s", series=wanted)
        assert names_in(error, "A0", "B0")


def test_p05_frames_of_two_time_points_in_one_file(tmp_path):
    both = np.concatenate([voxels(), OTHER], axis=2)

    def change(k, group):
        group.PlanePositionSequence[0].ImagePositionPatient = [10.5, -20.25, 30.0 + 3 * (k % 4)]
        group.FrameContentSequence[0].TemporalPositionIndex = 1 + k // 4

    save_one(enhanced(both, order=[4, 0, 5, 1, 6, 2, 7, 3], change=change), tmp_path / "a.dcm")
    assert refusal(tmp_path / "a.dcm").code == "several-volumes"
    found = sorted(read_all(tmp_path / "a.dcm"), key=lambda scan: int(scan.data.min()))
    assert_same(found[0], voxels(), truth())
    assert_same(found[1], OTHER, truth())


def test_p05_frames_of_two_b_values_in_one_file(tmp_path):
    both = np.concatenate([voxels(), OTHER], axis=2)

    def change(k, group):
        group.PlanePositionSequence[0].ImagePositionPatient = [10.5, -20.25, 30.0 + 3 * (k % 4)]
        group.MRDiffusionSequence = item(DiffusionBValue=1000.0 * (k // 4))

    save_one(enhanced(both, change=change), tmp_path / "a.dcm")
    assert [int(scan.data.min()) for scan in read_all(tmp_path / "a.dcm")] == [0, 5000]


def test_p05_frames_of_two_orientations_in_one_file(tmp_path):
    both = np.concatenate([voxels(), OTHER], axis=2)

    def change(k, group):
        if k >= 4:
            group.PlanePositionSequence[0].ImagePositionPatient = [10.5 - 3 * (k - 4), -20.25, 30.0]
            group.PlaneOrientationSequence = item(ImageOrientationPatient=list(SAGITTAL))

    one = enhanced(both, change=change)
    del one.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    for k, group in enumerate(one.PerFrameFunctionalGroupsSequence):
        if k < 4:
            group.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    save_one(one, tmp_path / "a.dcm")
    first, second = read_all(tmp_path / "a.dcm")
    assert_same(first, voxels(), truth())
    assert_same(second, OTHER, truth(SAGITTAL))


def test_p05_two_multi_frame_files_in_a_folder(tmp_path):
    (tmp_path / "s").mkdir()
    save_one(enhanced(), tmp_path / "s" / "a.dcm")
    other = enhanced(OTHER)
    other.SeriesInstanceUID = "1.2.3.99"
    save_one(other, tmp_path / "s" / "b.dcm")
    error = refusal(tmp_path / "s")
    assert names_in(error, "a.dcm", "b.dcm")
    assert_same(read(tmp_path / "s" / "b.dcm"), OTHER, truth())


def test_p05_directions_of_diffusion_in_a_vendor_free_series(tmp_path):
    for n, gradient in enumerate(([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0])):
        made = slices(voxels() + np.int16(1000 * n), DiffusionBValue=1000.0, DiffusionGradientOrientation=gradient)
        save(made, tmp_path / "s", lambda k, n=n: f"{n}{k}")
    assert [int(scan.data.min()) for scan in read_all(tmp_path / "s")] == [0, 1000, 2000]


def test_p05_frames_keep_apart_when_functional_groups_are_in_any_place(tmp_path):
    # the b-value in the shared groups, the echo in each frame
    both = np.concatenate([voxels(), OTHER], axis=2)

    def change(k, group):
        group.PlanePositionSequence[0].ImagePositionPatient = [10.5, -20.25, 30.0 + 3 * (k % 4)]
        group.MREchoSequence = Items(item(EffectiveEchoTime=10.0 + 30 * (k // 4)))

    one = enhanced(both, change=change)
    one.SharedFunctionalGroupsSequence[0].MRDiffusionSequence = item(DiffusionBValue=0.0)
    save_one(one, tmp_path / "a.dcm")
    assert [int(scan.data.min()) for scan in read_all(tmp_path / "a.dcm")] == [0, 5000]


@pytest.mark.parametrize(
    "tags",
    [
        {"StudyInstanceUID": "1.2.99"},
        {"PatientID": "CANARY-MRN-1 x"},
        {"PatientID": "canary-mrn-1"},
    ],
    ids=["study", "longer number", "number in other case"],
)
def test_p05_slices_of_another_origin_never_go_on_from_these(tmp_path, tags):
    save(slices(), tmp_path / "s", lambda n: f"A{n}")
    save(slices(OTHER, origin=(10.5, -20.25, 42.0), **tags), tmp_path / "s", lambda n: f"B{n}")
    assert refusal(tmp_path / "s").code == "several-volumes"


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "PatientID", "FrameOfReferenceUID"])
def test_p05_a_series_torn_into_a_hundred_is_told_in_one_short_line(tmp_path, keyword):
    # careless anonymisers give every slice an identity of its own
    def torn(k, one):
        setattr(one, keyword, f"1.2.3.{k + 100}")

    save(slices(voxels((3, 2, 100)), change=torn), tmp_path / "s", lambda n: f"{n:03d}.dcm")
    error = refusal(tmp_path / "s")
    assert error.code in ("several-volumes", "not-a-volume")
    assert "100" in error.reason
    assert len(error.line()) < 2000


def test_p05_single_slices_and_frames_of_one_series_are_not_one_volume(tmp_path):
    folder = save(slices(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR"), tmp_path / "s")
    save_one(enhanced(OTHER, origin=(10.5, -20.25, 42.0)), folder / "frames.dcm")
    assert refusal(folder).code in ("several-volumes", "slices")
