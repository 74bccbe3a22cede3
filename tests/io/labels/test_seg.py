"""DICOM segmentations on the scan's own grid: every plane at its own place, or a refusal that says why."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.commands.convert import convert
from medssl.errors import InputError, UsageError
from medssl.io.labels.dicom_label import describe_labels
from medssl.io.read import read, read_label
from medssl.io.write import write
from medssl.volume import Volume, reorient
from tests.io.label_files import code, item, write_seg
from tests.io.scans import write_slices

PLANE = np.zeros((6, 5), bool)
PLANE[1, 2] = PLANE[4, 0] = PLANE[5, 4] = True
OTHER = np.zeros((6, 5), bool)
OTHER[2, 2] = OTHER[0, 0] = True


def at(k: float, x: float = 10.0, y: float = 20.0) -> tuple[float, float, float]:
    return (x, y, 30.0 + 3.0 * k)


@pytest.fixture
def scan(tmp_path):
    return write_slices(tmp_path / "ct")


def test_frames_in_any_order_that_begin_inside_a_byte_land_in_their_slices(tmp_path, scan):
    # 30 pixels a frame: all but the first begin inside a byte
    path = write_seg(tmp_path / "s.dcm", [(2, at(3), OTHER), (1, at(0), PLANE), (2, at(2), ~PLANE), (1, at(3), PLANE)])
    label = read_label(path, scan)
    assert label.data.dtype == np.uint8
    np.testing.assert_array_equal(label.affine, read(scan).affine)
    want = np.zeros((6, 5, 4))
    want[..., 0] = PLANE
    want[..., 3] = PLANE + 2.0 * OTHER
    want[..., 2] = 2.0 * ~PLANE
    np.testing.assert_array_equal(label.data[0], want)
    assert label.flags == ()


def test_a_scan_stored_otherwise_gets_the_same_voxels(tmp_path, scan):
    path = write_seg(tmp_path / "s.dcm", [(1, at(1), PLANE)])
    turned = reorient(read(scan), "SAR")
    write(turned, tmp_path / "scan.nii.gz")
    straight = read_label(path, read(scan))
    label = read_label(path, tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(label.data, reorient(straight, "SAR").data)


def test_the_own_grid_counts_empty_planes_left_out(tmp_path):
    path = write_seg(tmp_path / "s.dcm", [(1, at(4), OTHER), (1, at(1), PLANE)])
    label = read_label(path)
    assert label.shape == (6, 5, 4)
    np.testing.assert_allclose(label.affine, [[-0.7, 0, 0, -10], [0, -1.9, 0, -20], [0, 0, 3, 33], [0, 0, 0, 1]])
    np.testing.assert_array_equal(label.data[0].sum(axis=(0, 1)), [3, 0, 0, 2])


def test_a_tilted_or_turned_segmentation_follows_its_scan(tmp_path):
    tilt = np.radians(12)
    for name, directions, step in (
        ("tilt", (1, 0, 0, 0, np.cos(tilt), np.sin(tilt)), (0.0, 0.0, 3.0)),
        ("sagittal", (0, 1, 0, 0, 0, -1), (3.0, 0.0, 0.0)),
    ):
        scan = write_slices(tmp_path / name, step=step, directions=directions)
        places = [tuple(10.0 * (a + 1) + k * step[a] for a in range(3)) for k in (3, 0)]
        path = write_seg(tmp_path / f"{name}.dcm", [(1, place, PLANE) for place in places], directions=directions)
        label = read_label(path, scan)
        np.testing.assert_array_equal(label.data[0], PLANE[..., None] * np.array([1, 0, 0, 1]))
        alone = read_label(path)
        np.testing.assert_allclose(alone.affine, read(scan).affine, atol=1e-9)
        assert alone.flags == (("sheared",) if name == "tilt" else ())


def test_a_smaller_segmentation_lies_inside_and_a_larger_one_is_flagged(tmp_path, scan):
    small = write_seg(tmp_path / "s.dcm", [(1, at(1, 10.7, 21.9), np.ones((2, 2), bool))])
    want = np.zeros((6, 5, 4))
    want[1:3, 1:3, 1] = 1
    np.testing.assert_array_equal(read_label(small, scan).data[0], want)
    ones = np.ones((8, 5), bool)
    wide = write_seg(tmp_path / "w.dcm", [(1, at(4), ones), (1, at(1, 10.0 - 0.7), ones)])
    label = read_label(wide, scan)
    assert label.flags == ("label_outside:50",)
    assert label.data.sum() == 30
    gone = write_seg(tmp_path / "g.dcm", [(1, at(9), PLANE)])
    with pytest.raises(InputError, match="no labelled voxel lies inside the scan"):
        read_label(gone, scan)


def test_another_grid_is_refused_and_resampled_only_when_asked(tmp_path, scan):
    half = write_seg(tmp_path / "h.dcm", [(1, at(1.5), PLANE)])
    with pytest.raises(InputError, match=r"grid is not its scan's: frame 1 lies up to 0[.]5 voxels") as caught:
        read_label(half, scan)
    assert caught.value.code == "label"
    coarse = write_seg(tmp_path / "c.dcm", [(1, at(k), np.ones((3, 5), bool)) for k in (1, 2)], spacing=(1.9, 1.4))
    with pytest.raises(InputError, match="another spacing"):
        read_label(coarse, scan)
    label = read_label(coarse, scan, resample=True)
    assert label.flags == ("label_resampled",)
    # centres at 0, 0.7, … 3.5 mm; coarse ones at 0, 1.4, 2.8 reach up to 3.5 exclusive
    want = np.zeros((6, 5, 4))
    want[:5, :, 1:3] = 1
    np.testing.assert_array_equal(label.data[0], want)
    with pytest.raises(UsageError, match="resample needs a scan"):
        read_label(coarse, resample=True)


def test_digits_lost_in_writing_are_no_other_grid(tmp_path, scan):
    path = write_seg(tmp_path / "s.dcm", [(1, (10.001, 19.999, 33.002), PLANE)], spacing=(1.90001, 0.70001))
    assert read_label(path, scan).data.sum() == 3


def test_overlapping_segments_are_refused_with_both_numbers(tmp_path, scan):
    path = write_seg(tmp_path / "s.dcm", [(3, at(1), PLANE), (7, at(1), PLANE | OTHER), (9, at(2), OTHER)])
    with pytest.raises(InputError, match=r"segments 3 and 7 overlap in 3 voxels") as caught:
        read_label(path, scan)
    assert "segment=N" in str(caught.value)
    alone = read_label(path, scan, segment=7)
    assert sorted(np.unique(alone.data)) == [0, 7]
    assert alone.data.sum() == 7 * 5
    with pytest.raises(InputError, match=r"no segment is the one asked for.*there are: 3 Tissue_3, 7") as caught:
        read_label(path, scan, segment=4)
    assert "CANARY" not in str(caught.value)


def test_fractions_need_a_threshold(tmp_path, scan):
    plane = np.zeros((6, 5))
    plane[0, 0], plane[1, 1], plane[2, 2] = 99, 100, 200
    path = write_seg(tmp_path / "s.dcm", [(1, at(0), plane)], kind="FRACTIONAL")
    with pytest.raises(InputError, match="FRACTIONAL segmentation has shares"):
        read_label(path, scan)
    label = read_label(path, scan, threshold=0.5)
    assert (label.data.sum(), label.flags) == (2, ("fractional_threshold",))
    assert read_label(path, scan, threshold=1).data.sum() == 1
    for wrong in (0, 1.5, float("nan")):
        with pytest.raises(UsageError, match="threshold"):
            read_label(path, scan, threshold=wrong)


def test_a_label_map_object_has_its_values(tmp_path, scan):
    plane = np.zeros((6, 5))
    plane[1, 1], plane[2, 3] = 4, 9
    names = {4: "liver", 9: "spleen"}
    path = write_seg(tmp_path / "s.dcm", [(0, at(2), plane)], kind="LABELMAP", names=names)
    label = read_label(path, scan)
    np.testing.assert_array_equal(label.data[0, ..., 2], plane)
    assert read_label(path, scan, segment="spleen").data.max() == 9
    strange = write_seg(tmp_path / "x.dcm", [(0, at(2), plane)], kind="LABELMAP", names={4: "liver"})
    with pytest.raises(InputError, match="frame 1 has the value 9, which is no segment"):
        read_label(strange, scan)


def test_another_frame_of_reference_is_refused_and_another_series_flagged(tmp_path, scan):
    def other_frame(data):
        data.FrameOfReferenceUID = "9.9.9"

    def other_series(data):
        data.ReferencedSeriesSequence = [item(SeriesInstanceUID="9.9.8")]

    path = write_seg(tmp_path / "f.dcm", [(1, at(1), PLANE)], change=other_frame)
    with pytest.raises(InputError, match="FrameOfReferenceUID is not its scan's") as caught:
        read_label(path, scan)
    assert "9.9.9" not in str(caught.value)
    with pytest.raises(InputError, match="FrameOfReferenceUID"):
        read_label(path, scan, resample=True)
    flagged = write_seg(tmp_path / "s.dcm", [(1, at(1), PLANE)], change=other_series)
    assert read_label(flagged, scan).flags == ("other_series",)
    # a scan that is no DICOM has no frame of reference: its geometry decides
    write(Volume(read(scan).data, read(scan).affine), tmp_path / "scan.nii.gz")
    assert read_label(path, tmp_path / "scan.nii.gz").data.sum() == 3


def test_classes_choose_segments_by_name(tmp_path, scan):
    left = code("64033007", "SCT", "Kidney")
    left.SegmentedPropertyTypeModifierCodeSequence = [code("7771000", "SCT", "Left")]
    names = {1: "couch", 2: ("CANARY", left), 5: "Liver"}
    frames = [(1, at(0), PLANE), (2, at(1), PLANE), (5, at(2), OTHER)]
    path = write_seg(tmp_path / "s.dcm", frames, names=names)
    label = read_label(path, scan, classes={0: "background", 1: "liver", 2: "left kidney"})
    assert label.flags == ("segments_left_out:1",)
    np.testing.assert_array_equal(label.data[0, ..., 1], 2 * PLANE)
    np.testing.assert_array_equal(label.data[0, ..., 2], OTHER)
    assert not label.data[..., 0].any()
    with pytest.raises(InputError, match="none of the 3 segments has the name of a declared class"):
        read_label(path, scan, classes={1: "tumour"})
    numbered = read_label(path, scan, classes={1: "a", 2: "b", 5: "c"})
    assert numbered.flags == ("classes_by_number",)


def test_free_text_is_never_shown(tmp_path):
    names = {1: "Erika Mustermann 1950", 2: ("CANARY", code("x", "99CANARY", "CANARY")), 3: "GTV-1"}
    names[1] = ("Erika Mustermann 1950", code("1", "SCT", "Liver"))
    names[3] = ("GTV-1", code("", "", ""))
    path = write_seg(tmp_path / "s.dcm", [(n, at(n), PLANE) for n in names], names=names)
    found = describe_labels(path)
    assert [one["name"] for one in found["segments"]] == ["Liver", "segment_2", "GTV-1"]
    assert [one["planes"] for one in found["segments"]] == [1, 1, 1]
    assert (found["kind"], found["type"]) == ("seg", "BINARY")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: setattr(data, "PixelData", data.PixelData[:-2]), "truncated: 6 bytes of pixel data, expected 8"),
        (lambda data: setattr(data, "PixelData", data.PixelData + b"\0\0"), "corrupt: 10 bytes"),
        (lambda data: delattr(data, "PixelData"), "no pixel data"),
        (lambda data: setattr(data, "NumberOfFrames", 3), "NumberOfFrames is 3|truncated"),
        (lambda data: setattr(data, "SegmentationType", "SURFACE"), "SegmentationType must be one of"),
        (lambda data: delattr(data, "SegmentSequence"), "no SegmentSequence"),
        (lambda data: delattr(data, "SharedFunctionalGroupsSequence"), "frame 1 has no PixelMeasuresSequence"),
        (lambda data: delattr(data.PerFrameFunctionalGroupsSequence[1], "PlanePositionSequence"), "frame 2 has no Pla"),
        (lambda data: data.SegmentSequence.append(data.SegmentSequence[0]), "SegmentNumber stands twice"),
        (lambda data: setattr(data.SegmentSequence[0], "SegmentNumber", 8), "ReferencedSegmentNumber"),
        (lambda data: setattr(data, "BitsAllocated", 4), "BitsAllocated is 4"),
        (lambda data: setattr(data, "Rows", 60000), "truncated|limit"),
    ],
)
def test_what_a_segmentation_lacks_is_named(tmp_path, scan, change, message):
    path = write_seg(tmp_path / "s.dcm", [(1, at(0), PLANE), (1, at(2), PLANE)], change=change)
    with pytest.raises(InputError, match=message) as caught:
        read_label(path, scan)
    assert caught.value.path == str(path)
    assert caught.value.code != "internal"


def test_two_frames_in_one_plane_are_refused(tmp_path, scan):
    path = write_seg(tmp_path / "s.dcm", [(1, at(0), PLANE), (1, at(0), OTHER)])
    with pytest.raises(InputError, match="two frames of segment 1 lie in one plane"):
        read_label(path, scan)


def test_a_folder_holds_exactly_one_label_object(tmp_path, scan):
    write_seg(tmp_path / "seg" / "s.dcm", [(1, at(0), PLANE)])
    assert read_label(tmp_path / "seg", scan).data.sum() == 3
    write_seg(tmp_path / "seg" / "t.dcm", [(1, at(0), PLANE)])
    with pytest.raises(InputError, match=r"2 label objects, expected one: s[.]dcm, t[.]dcm"):
        read_label(tmp_path / "seg", scan)


def test_labels_beside_a_scan_do_not_hide_it(tmp_path):
    # a study's folder: scans, and what was drawn on them
    study = write_slices(tmp_path / "study" / "ct").parent
    write_slices(study / "other", SeriesInstanceUID="1.2.3.9")
    for name in ("0.dcm", "seg.dcm"):
        write_seg(study / name, [(1, at(0), PLANE)])
    assert convert(study, tmp_path / "o.nii.gz", series=2)["modality"] == "CT"
    with pytest.raises(InputError, match="more than one volume"):
        convert(study, tmp_path / "o.nii.gz")
    with pytest.raises(InputError, match="2 label objects"):
        convert(study, tmp_path / "o.nii.gz", like=study / "ct")
    (study / "0.dcm").rename(tmp_path / "0.dcm")
    assert "segments" in convert(study, tmp_path / "o.nii.gz", like=study / "ct")


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_what_highdicom_writes_is_read_and_both_agree_on_the_place(tmp_path, kind):
    import highdicom
    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    tilt = np.radians(20)
    scan = write_slices(tmp_path / "ct", directions=(1, 0, 0, 0, np.cos(tilt), np.sin(tilt)), step=(0, 0.6, 2.5))
    sources = sorted((dcmread(path) for path in scan.iterdir()), key=lambda one: -one.ImagePositionPatient[2])
    for source in sources:
        source.AccessionNumber, source.StudyDate, source.StudyTime, source.StudyID = "", "", "", ""
        source.PatientBirthDate, source.PatientSex, source.ReferringPhysicianName = "", "", ""
        source.SliceThickness = 3.0
    values = np.random.default_rng(3).integers(0, 3, (6, 5, 4)).astype(np.uint8)
    values[..., 1] = 0
    array = values.transpose(2, 1, 0)[::-1]
    described = [
        highdicom.seg.SegmentDescription(n, name, codes.SCT.Organ, getattr(codes.SCT, name), "MANUAL")
        for n, name in ((1, "Liver"), (2, "Spleen"))
    ]
    pixels = np.stack([array == 1, array == 2], axis=-1).astype(np.float32) if kind == "FRACTIONAL" else array
    segmentation = highdicom.seg.Segmentation(
        sources, pixels, kind, described, "1.2.3.90", 5, "1.2.3.91", 1, "m", "m", "1", "1"
    )
    segmentation.save_as(tmp_path / "s.dcm")
    label = read_label(tmp_path / "s.dcm", scan, threshold=0.5)
    np.testing.assert_array_equal(label.data[0], values)
    assert [one["name"] for one in describe_labels(tmp_path / "s.dcm")["segments"]] == ["Liver", "Spleen"]
    alone = read_label(tmp_path / "s.dcm", threshold=0.5)
    first = np.argwhere(alone.data[0] == 1)[0]
    mm = alone.affine @ [*first, 1.0]
    index = np.linalg.inv(label.affine) @ mm
    np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
    assert label.data[0][tuple(np.rint(index[:3]).astype(int))] == 1


def test_segment_options_are_for_dicom_labels(tmp_path):
    write(Volume(np.eye(4, dtype=np.uint8).reshape(1, 4, 2, 2), np.eye(4)), tmp_path / "l.nii.gz")
    with pytest.raises(UsageError, match="segment and threshold are for DICOM"):
        read_label(tmp_path / "l.nii.gz", segment=1)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.1.99"])
def test_compressed_segmentations_are_decoded_and_broken_ones_refused(tmp_path, scan, syntax):
    from pydicom import dcmread

    plane = np.arange(30).reshape(6, 5) % 3
    path = write_seg(
        tmp_path / "s.dcm",
        [(0, at(k), np.roll(plane, k)) for k in range(4)],
        kind="LABELMAP",
        names={1: "liver", 2: "spleen"},
    )
    want = read_label(path, scan).data
    data = dcmread(path)
    if syntax.endswith(".99"):
        data.file_meta.TransferSyntaxUID = syntax
    else:
        data.compress(syntax, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(read_label(path, scan).data, want)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) - len(raw) // 4])
    with pytest.raises(InputError) as caught:
        read_label(path, scan)
    assert caught.value.code in ("codec", "truncated", "corrupt", "label")
