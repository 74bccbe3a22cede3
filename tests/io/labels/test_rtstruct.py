"""RT structure sets on the scan's own slices: exact volumes, holes, tilt, and refusals that say why."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError, UsageError
from medssl.io.labels.dicom_label import describe_labels
from medssl.io.read import read, read_label
from medssl.io.write import write
from medssl.volume import LPS_TO_RAS, Volume, reorient
from tests.io.label_files import item, write_rtstruct
from tests.io.scans import oblique, write_slices


@pytest.fixture
def scan(tmp_path):
    return write_slices(tmp_path / "ct")


def box(c0, c1, r0, r1, k, affine):
    """A rectangle in voxels (column, row) of slice k as LPS millimetres."""
    corners = np.array([[c0, r0, k, 1], [c1, r0, k, 1], [c1, r1, k, 1], [c0, r1, k, 1]], dtype=float)
    return (corners @ (LPS_TO_RAS @ affine).T)[:, :3]


def test_a_rectangle_is_its_voxels_however_the_scan_is_stored(tmp_path, scan):
    image = read(scan)
    path = write_rtstruct(tmp_path / "r.dcm", {4: [box(0.5, 3.5, 1.5, 3.5, k, image.affine) for k in (1, 2)]})
    label = read_label(path, scan)
    want = np.zeros((6, 5, 4))
    want[1:4, 2:4, 1:3] = 4
    np.testing.assert_array_equal(label.data[0], want)
    assert (label.data.dtype, label.flags) == (np.uint8, ())
    for code in ("RAS", "SAR", "PIL"):
        other = reorient(image, code)
        np.testing.assert_array_equal(read_label(path, other).data, reorient(label, code).data)


def test_edges_on_centres_fall_to_the_same_voxels_however_the_scan_is_stored(tmp_path, scan):
    image = read(scan)
    path = write_rtstruct(tmp_path / "r.dcm", {1: [box(1, 4, 1, 3, 0, image.affine)]})
    label = read_label(path, scan)
    assert label.data.sum() == 6
    for code in ("RAS", "ASL"):
        np.testing.assert_array_equal(read_label(path, reorient(image, code)).data, reorient(label, code).data)


@pytest.mark.parametrize("radius", [9.0, 14.0])
def test_a_sphere_has_its_volume_in_an_oblique_scan(tmp_path, radius):
    affine = oblique()
    affine[:3, :3] = affine[:3, :3] / [0.7, 1.9, 3.0] * [0.9, 0.8, 1.5]
    like = Volume(np.zeros((1, 40, 44, 24), np.uint8), affine)
    centre = affine @ [19.6, 21.3, 11.4, 1]
    turn = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    a, b = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (0, 1))
    contours = []
    for k in range(24):
        height = 1.5 * (k - 11.4)
        if abs(height) < radius:
            ring = np.sqrt(radius**2 - height**2)
            middle = centre[:3] + affine[:3, 2] * (k - 11.4)
            circle = middle + ring * (np.cos(turn)[:, None] * a + np.sin(turn)[:, None] * b)
            contours.append(circle * [-1, -1, 1])
    path = write_rtstruct(tmp_path / "r.dcm", {1: contours})
    label = read_label(path, like)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in like.shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3] - centre[:3], axis=-1)
    # the contours are polygons of 240 corners: within 1e-4 of the radius of the sphere
    assert label.data[0][distance < radius * 0.9995].all()
    assert not label.data[0][distance > radius].any()
    assert label.data.sum() * 0.9 * 0.8 * 1.5 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.02)


def test_tilted_and_sagittal_scans(tmp_path):
    tilt = np.radians(15)
    for name, directions, step in (
        ("tilt", (1, 0, 0, 0, np.cos(tilt), np.sin(tilt)), (0.0, 0.0, 3.0)),
        ("sagittal", (0, 1, 0, 0, 0, -1), (3.0, 0.0, 0.0)),
    ):
        scan = write_slices(tmp_path / name, step=step, directions=directions)
        affine = read(scan).affine
        path = write_rtstruct(tmp_path / f"{name}.dcm", {1: [box(0.6, 3.4, 0.6, 2.4, k, affine) for k in (0, 1, 3)]})
        label = read_label(path, scan)
        want = np.zeros((6, 5, 4))
        want[1:4, 1:3, [0, 1, 3]] = 1
        np.testing.assert_array_equal(label.data[0], want)
        assert label.flags == ("contour_gaps:1",)


def test_holes_and_points(tmp_path, scan):
    affine = read(scan).affine
    outer, hole = box(-0.4, 5.4, -0.4, 4.4, 1, affine), box(1.5, 3.5, 1.5, 3.5, 1, affine)
    path = write_rtstruct(tmp_path / "r.dcm", {1: [outer, hole, outer[:1]]})
    label = read_label(path, scan)
    assert label.data.sum() == 30 - 4
    assert label.flags == ("points_ignored:1",)


def test_a_contour_drawn_twice_does_not_cancel_itself(tmp_path, scan):
    square = box(0.5, 3.5, 0.5, 3.5, 1, read(scan).affine)
    path = write_rtstruct(tmp_path / "r.dcm", {1: [square, np.roll(square, 2, axis=0)[::-1]]})
    label = read_label(path, scan)
    assert (label.data.sum(), label.flags) == (9, ("contours_doubled:1",))


def test_contours_that_cross_are_flagged(tmp_path, scan):
    affine = read(scan).affine
    path = write_rtstruct(
        tmp_path / "r.dcm", {1: [box(-0.5, 2.5, -0.5, 2.5, 1, affine), box(1.5, 4.5, 1.5, 4.5, 1, affine)]}
    )
    label = read_label(path, scan)
    assert (label.data.sum(), label.flags) == (16, ("contours_overlap:1",))


def test_a_contour_between_slices_goes_to_the_nearest_with_a_flag(tmp_path, scan):
    affine = read(scan).affine
    path = write_rtstruct(tmp_path / "r.dcm", {1: [box(0.5, 3.5, 0.5, 3.5, 1.3, affine)]})
    label = read_label(path, scan)
    assert label.flags == ("contours_moved:1",)
    assert label.data[..., 1].sum() == 9
    near = write_rtstruct(tmp_path / "n.dcm", {1: [box(0.5, 3.5, 0.5, 3.5, 1.01, affine)]})
    assert read_label(near, scan).flags == ()
    two = {1: [box(0.5, 3.5, 0.5, 3.5, k, affine) for k in (0.8, 1.2)]}
    thin = write_rtstruct(tmp_path / "t.dcm", two)
    with pytest.raises(InputError, match="ROI 1 lie in several planes within slice 1: they were drawn on thinner"):
        read_label(thin, scan)


def test_what_lies_outside_is_flagged_and_all_of_it_refused(tmp_path, scan):
    affine = read(scan).affine
    wide = write_rtstruct(
        tmp_path / "w.dcm", {1: [box(3.5, 9.5, 0.5, 3.5, 1, affine), box(0.5, 3.5, 0.5, 3.5, 6, affine)]}
    )
    label = read_label(wide, scan)
    assert (label.data.sum(), label.flags) == (6, ("contours_outside:2",))
    gone = write_rtstruct(tmp_path / "g.dcm", {1: [box(0.5, 3.5, 0.5, 3.5, 9, affine)]})
    with pytest.raises(InputError, match="no contour encloses a voxel of the scan"):
        read_label(gone, scan)


def test_a_contour_that_is_not_in_a_slice_is_refused(tmp_path, scan):
    square = box(0.5, 3.5, 0.5, 3.5, 1, read(scan).affine)
    square[0, 2] += 2.0
    with pytest.raises(InputError, match=r"contour 1 of ROI 1 reaches over 0[.]667 slices"):
        read_label(write_rtstruct(tmp_path / "r.dcm", {1: [square]}), scan)


def test_overlapping_regions_are_refused_unless_one_is_chosen(tmp_path, scan):
    affine = read(scan).affine
    regions = {2: [box(0.5, 3.5, 0.5, 3.5, 1, affine)], 5: [box(2.5, 4.5, 0.5, 3.5, 1, affine)]}
    path = write_rtstruct(tmp_path / "r.dcm", regions, names={2: "GTV 1", 5: "Erika"})
    with pytest.raises(InputError, match="segments 2 and 5 overlap in 3 voxels"):
        read_label(path, scan)
    for wanted in (5, "5", "erika"):
        assert read_label(path, scan, segment=wanted).data.sum() == 6 * 5
    chosen = read_label(path, scan, classes={1: "gtv-1"})
    assert (chosen.data.sum(), chosen.flags) == (9, ("segments_left_out:1",))
    # numbers of regions mean nothing from patient to patient
    with pytest.raises(InputError, match="none of the 2 segments has the name"):
        read_label(path, scan, classes={2: "a", 5: "b"})
    shown = describe_labels(path)
    assert [(one["number"], one["name"], one["contours"]) for one in shown["segments"]] == [
        (2, "GTV 1", 1),
        (5, "segment_5", 1),
    ]


def test_a_region_without_contours_is_empty(tmp_path, scan):
    affine = read(scan).affine
    names = {1: "liver", 2: "spleen"}
    path = write_rtstruct(tmp_path / "r.dcm", {1: [box(0.5, 3.5, 0.5, 3.5, 1, affine)]}, names=names)
    label = read_label(path, scan)
    assert (label.data.max(), label.flags) == (1, ("empty_segments:1",))


def test_contours_need_their_scan_and_its_frame_of_reference(tmp_path, scan):
    def other(data):
        data.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = "9.9.9"
        data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "9.9.9"

    regions = {1: [box(0.5, 3.5, 0.5, 3.5, 1, read(scan).affine)]}
    with pytest.raises(UsageError, match="needs its scan"):
        read_label(write_rtstruct(tmp_path / "r.dcm", regions))
    moved = write_rtstruct(tmp_path / "o.dcm", regions, change=other)
    with pytest.raises(InputError, match="FrameOfReferenceUID is not its scan's"):
        read_label(moved, scan)
    image = read(scan)
    write(image, tmp_path / "scan.nii.gz")
    assert read_label(moved, tmp_path / "scan.nii.gz").data.sum() == 9


def _contour(data):
    return data.ROIContourSequence[0].ContourSequence[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: delattr(data, "StructureSetROISequence"), "no StructureSetROISequence"),
        (lambda data: setattr(_contour(data), "NumberOfContourPoints", 5), "12 numbers are not three for each of 5"),
        (lambda data: setattr(_contour(data), "ContourData", ["1"] * 11), "11 numbers"),
        (lambda data: setattr(_contour(data), "ContourData", ["1e9"] * 12), "not finite millimetres"),
        (lambda data: delattr(_contour(data), "ContourData"), "0 numbers"),
        (lambda data: delattr(_contour(data), "ContourGeometricType"), "no known type"),
        (lambda data: setattr(data.ROIContourSequence[0], "ReferencedROINumber", 9), "ROI 9 has contours, but"),
        (lambda data: data.ROIContourSequence.append(data.ROIContourSequence[0]), "ROI 1 stands twice"),
        (lambda data: data.StructureSetROISequence.append(item(ROINumber=1, ROIName="a")), "ROINumber stands twice"),
        (lambda data: setattr(data.StructureSetROISequence[0], "ROINumber", None), "ROINumber is missing"),
    ],
)
def test_what_a_structure_set_lacks_is_named(tmp_path, scan, change, message):
    regions = {1: [box(0.5, 3.5, 0.5, 3.5, 1, read(scan).affine)]}
    path = write_rtstruct(tmp_path / "r.dcm", regions, change=change)
    with pytest.raises(InputError, match=message) as caught:
        read_label(path, scan)
    assert caught.value.path == str(path)
    assert "CANARY" not in str(caught.value)
    assert caught.value.code != "internal"
