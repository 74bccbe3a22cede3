"""Geometry from positions and orientations alone: tilt, jitter, gaps, and how much of each is still one grid."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.read import read
from tests.io.scans import marked, write_slices

AXES = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "oblique": ((0.8, 0.6, 0.0), (-0.36, 0.48, 0.8)),
}


@pytest.mark.parametrize("plane", AXES)
@pytest.mark.parametrize("degrees", [-25, -0.2, 0.2, 25])
@pytest.mark.parametrize("about", ["row", "column"])
@pytest.mark.parametrize("order", [1, -1])
def test_p04_tilt_of_either_sign_about_either_axis_is_exact(tmp_path, plane, degrees, about, order):
    row, column = (np.array(one, dtype=float) for one in AXES[plane])
    normal = np.cross(row, column)
    step = order * 3.0 * normal
    # the gantry leans: the planes turn, the table goes on along the old normal
    lean, angle = (column, np.radians(degrees)) if about == "row" else (row, np.radians(degrees))
    turned = np.cos(angle) * lean + np.sin(angle) * normal
    row, column = (row, turned) if about == "row" else (turned, column)
    folder = write_slices(
        tmp_path / "s", step=tuple(step), directions=tuple(float(f"{x:.10f}") for x in (*row, *column))
    )
    scan = read(folder)
    assert scan.flags == ("sheared",)
    flip = np.diag([-1.0, -1, 1])
    for k in range(4):
        stored = k if order > 0 else 3 - k
        corner = scan.affine @ [0, 0, k, 1]
        np.testing.assert_allclose(corner[:3], flip @ (np.array([10, 20, 30]) + stored * step), atol=1e-6)
        np.testing.assert_array_equal(scan.data[0, :, :, k], marked((6, 5, 4))[:, :, stored])
    np.testing.assert_allclose(scan.affine[:3, 0], flip @ row * 0.7, atol=1e-6)
    np.testing.assert_allclose(scan.affine[:3, 1], flip @ column * 1.9, atol=1e-6)


def at(places):
    def place(n, data):
        data.ImagePositionPatient = [10.0, 20.0, places[n]]

    return place


def test_p03_a_ramp_along_the_normal_stays_a_ramp_over_gaps(tmp_path):
    places = [30.0, 33.0, 36.0, 37.5, 42.0, 45.5, 49.9]

    def ramp(n, data):
        at(places)(n, data)
        data.PixelData = np.full((5, 6), round(10 * places[n]), dtype="<i2").tobytes()

    folder = write_slices(tmp_path / "s", count=7, change=ramp)
    with pytest.raises(InputError, match="inconsistent spacing"):
        read(folder)
    scan = read(folder, allow_gaps=True)
    assert scan.flags == ("gaps_resampled",)
    z = scan.affine[2, 3] + scan.affine[2, 2] * np.arange(scan.shape[2])
    assert z[-1] <= 49.9 + 1e-6
    np.testing.assert_allclose(scan.data[0, 0, 0], 10 * z, rtol=1e-6)


def test_p03_slices_that_are_there_stay_as_they_are_over_gaps(tmp_path):
    def jittered(n, data):
        data.ImagePositionPatient = [10.0, 20.0, 30.0 + 3 * n + 0.01 * (n == 4)]
        return n not in (2, 5, 6)

    scan = read(write_slices(tmp_path / "s", count=9, change=jittered), allow_gaps=True)
    np.testing.assert_allclose(scan.affine[:3, 2], [0, 0, 3])
    np.testing.assert_array_equal(scan.data[0][:, :, [0, 1, 3, 4, 7, 8]], marked((6, 5, 9))[:, :, [0, 1, 3, 4, 7, 8]])


def test_p14_a_gap_that_would_fill_memory_is_refused(tmp_path):
    folder = write_slices(tmp_path / "s", count=5, change=at([30.0, 33.0, 36.0, 39.0, 3e7]))
    with pytest.raises(InputError, match=r"lie 3e[+]07 mm apart"):
        read(folder, allow_gaps=True)


@pytest.mark.parametrize(("jitter", "good"), [(1e-3, True), (0.012, True), (0.04, False)])
def test_p03_jitter_up_to_a_hundredth_of_a_step_is_even(tmp_path, jitter, good):
    folder = write_slices(tmp_path / "s", count=6, change=at([30 + 3 * n + jitter * (-1) ** n / 2 for n in range(6)]))
    if good:
        assert read(folder).shape == (6, 5, 6)
    else:
        with pytest.raises(InputError, match="inconsistent spacing"):
            read(folder)


def test_p03_slices_of_a_few_micrometres_are_no_doubles(tmp_path):
    def small(n, data):
        data.ImagePositionPatient, data.PixelSpacing = [10.0, 20.0, 30 + 0.005 * n], [0.004, 0.004]

    np.testing.assert_allclose(read(write_slices(tmp_path / "s", change=small)).spacing_mm, [0.004, 0.004, 0.005])


def test_p04_a_shift_beside_the_line_is_measured_in_pixels(tmp_path):
    def aside(n, data):
        data.ImagePositionPatient = [10.0 + (0.05 if n == 2 else 0), 20.0, 30.0 + 9 * n]

    with pytest.raises(InputError, match=r"IM03[.]dcm lies 0[.]05 mm beside the line"):
        read(write_slices(tmp_path / "s", change=aside))


def test_p04_slices_that_slide_more_than_they_rise_are_no_tilt(tmp_path):
    with pytest.raises(InputError, match="shifted by 7 mm for 3 mm of depth"):
        read(write_slices(tmp_path / "s", step=(0.0, 7.0, 3.0)))


@pytest.mark.parametrize(("length", "good"), [(1.0005, True), (1.003, False), (0.99, False)])
def test_p06_direction_cosines_are_of_length_one_within_a_thousandth(tmp_path, length, good):
    folder = write_slices(tmp_path / "s", directions=(length, 0, 0, 0, 1, 0))
    if good:
        np.testing.assert_allclose(read(folder).spacing_mm, [0.7, 1.9, 3.0])
    else:
        with pytest.raises(InputError, match="ImageOrientationPatient: direction cosines have length"):
            read(folder)


def test_p02_thickness_and_the_other_distances_decide_nothing(tmp_path):
    def lie(n, data):
        data.SliceThickness, data.SpacingBetweenSlices, data.SliceLocation = 9.0, 7.0, -n
        data.InstanceNumber = 5

    plain, lying = read(write_slices(tmp_path / "a")), read(write_slices(tmp_path / "b", change=lie))
    np.testing.assert_array_equal(plain.affine, lying.affine)
    np.testing.assert_array_equal(plain.data, lying.data)
    assert lying.flags == ()


def test_p02_one_slice_of_another_thickness_is_flagged(tmp_path):
    def thick(n, data):
        data.SliceThickness = 6.0 if n == 1 else 3.0

    assert read(write_slices(tmp_path / "s", change=thick)).flags == ("mixed_thickness",)


def test_p06_spacing_of_the_detector_is_not_the_bodys(tmp_path):
    def detector(n, data):
        del data.PixelSpacing
        data.ImagerPixelSpacing = [1.9, 0.7]

    with pytest.raises(InputError, match="PixelSpacing is missing"):
        read(write_slices(tmp_path / "s", change=detector))
