"""P3: a gap, a double or an uneven step is refused with both files and the millimetres; micrometres are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import medssl
from medssl.io.read import read
from tests.promises.series import (
    assert_same,
    fresh,
    names_in,
    normal_of,
    refusal,
    save,
    save_one,
    slices,
    truth,
    turned,
    voxels,
)

NAMES = ["q.dcm", "b.dcm", "z.dcm", "d.dcm", "m.dcm", "a.dcm", "k.dcm", "c.dcm"]
EIGHT = (3, 2, 8)


def eight(folder, change=None, step=3.0, **tags):
    """Eight slices at 30, 33, … 51 mm named q, b, z, d, m, a, k, c."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, one in enumerate(slices(voxels(EIGHT), step=step, **tags)):
        if change is None or change(k, one) is not False:
            save_one(one, folder / NAMES[k])
    return folder


def moved(**to):
    """A change that puts slice ``sN`` at this z."""

    def change(k, one):
        if f"s{k}" in to:
            x, y, _ = one.ImagePositionPatient
            one.ImagePositionPatient = [x, y, to[f"s{k}"]]

    return change


@pytest.mark.parametrize("gone", range(1, 7))
def test_p03_a_missing_slice_is_told_with_its_neighbours_and_millimetres(tmp_path, gone):
    error = refusal(eight(tmp_path / "s", lambda k, one: k != gone))
    assert error.code == "slices"
    assert names_in(error, NAMES[gone - 1], NAMES[gone + 1], "6 mm", "3 mm", "missing slice")


def test_p03_many_missing_slices_are_counted(tmp_path):
    error = refusal(eight(tmp_path / "s", lambda k, one: k not in (2, 5, 6)))
    assert error.code == "slices"
    assert "gap" in error.reason


def test_p03_a_gap_may_lie_at_an_end(tmp_path):
    error = refusal(eight(tmp_path / "s", lambda k, one: k != 1))
    assert names_in(error, "q.dcm", "z.dcm", "6 mm")


def test_p03_every_second_slice_missing_in_one_half_is_a_gap(tmp_path):
    assert refusal(eight(tmp_path / "s", lambda k, one: k not in (4, 6))).code == "slices"


def test_p03_a_gap_in_an_oblique_series_is_measured_along_the_normal(tmp_path):
    error = refusal(eight(tmp_path / "s", lambda k, one: k != 3, directions=turned(8), step=-2.5))
    assert names_in(error, NAMES[2], NAMES[4], "5 mm", "2.5 mm")


def test_p03_a_gap_in_a_tilted_series(tmp_path):
    lean = np.radians(18)
    folder = eight(
        tmp_path / "s", lambda k, one: k != 3, directions=(1, 0, 0, 0, np.cos(lean), -np.sin(lean)), step=(0, 0, 5)
    )
    assert names_in(refusal(folder), NAMES[2], NAMES[4], "missing slice")


@pytest.mark.parametrize("z", [39.0, 39.000001, 38.9995])
def test_p03_two_slices_at_one_place_are_told_by_name(tmp_path, z):
    error = refusal(eight(tmp_path / "s", moved(s4=z)))
    assert error.code == "slices"
    assert names_in(error, "d.dcm", "m.dcm", "mm", "duplicate")


def test_p03_the_same_file_twice_is_a_double(tmp_path):
    folder = eight(tmp_path / "s")
    (folder / "d (copy).dcm").write_bytes((folder / "d.dcm").read_bytes())
    assert names_in(refusal(folder), "d (copy).dcm", "d.dcm", "duplicate")


def test_p03_the_same_series_twice_in_two_folders_is_never_merged(tmp_path):
    folder = eight(tmp_path / "s" / "one")
    eight(tmp_path / "s" / "two")
    error = refusal(tmp_path / "s")
    assert error.code in ("slices", "several-volumes")
    assert_same(read(folder), voxels(EIGHT), truth())


@pytest.mark.parametrize("off", [0.035, -0.04, 0.5, 1.4])
def test_p03_a_step_over_one_percent_is_uneven(tmp_path, off):
    error = refusal(eight(tmp_path / "s", moved(s4=42.0 + off)))
    assert error.code == "slices"
    assert "m.dcm" in error.line()
    assert "mm" in error.reason


@pytest.mark.parametrize("off", [1e-3, -1e-3, 2e-4, 9e-3])
def test_p03_jitter_of_micrometres_is_no_gap(tmp_path, off):
    scan = read(eight(tmp_path / "s", moved(s1=33 + off, s4=42.0 - off, s6=48 + off)))
    assert_same(scan, voxels(EIGHT), truth(), tolerance=0.01)
    assert scan.flags == ()


def test_p03_rounded_positions_are_no_gap(tmp_path):
    # 1/3 mm steps written with two decimals
    def rounded(k, one):
        one.ImagePositionPatient = [10.5, -20.25, round(30 + 2 * k / 3, 3)]

    scan = read(eight(tmp_path / "s", rounded))
    assert_same(scan, voxels(EIGHT), truth(step=2 / 3), tolerance=0.01)


def test_p03_a_spacing_that_drifts_is_uneven(tmp_path):
    # no step is off by much from its neighbour, the last is 40 % longer than the first
    def drift(k, one):
        one.ImagePositionPatient = [10.5, -20.25, 30 + 3 * k + 0.08 * k * k]

    assert refusal(eight(tmp_path / "s", drift)).code == "slices"


def test_p03_a_drift_below_one_percent_a_step_may_not_add_up(tmp_path):
    # every step is within 1 % of the median, but the middle slice would be 1 mm off
    count = 80
    wanted = voxels((2, 2, count))

    def drift(k, one):
        one.ImagePositionPatient = [0, 0, 3 * k + 0.028 * abs(k - count // 2)]

    assert refusal(save(slices(wanted, change=drift), tmp_path / "s", lambda n: f"{n:03d}.dcm")).code == "slices"


def test_p03_a_slice_beside_the_line_is_refused(tmp_path):
    def aside(k, one):
        if k == 3:
            one.ImagePositionPatient = [12.5, -20.25, 39.0]

    error = refusal(eight(tmp_path / "s", aside))
    assert error.code == "slices"
    assert names_in(error, "d.dcm", "2 mm")


def test_p03_the_last_slice_beside_the_line_is_refused(tmp_path):
    def aside(k, one):
        if k == 7:
            one.ImagePositionPatient = [12.5, -20.25, 51.0]

    assert refusal(eight(tmp_path / "s", aside)).code == "slices"


def test_p03_one_slice_turned_a_little_is_not_taken(tmp_path):
    def turn(k, one):
        if k == 3:
            one.ImageOrientationPatient = [np.cos(0.2), np.sin(0.2), 0, -np.sin(0.2), np.cos(0.2), 0]

    assert refusal(eight(tmp_path / "s", turn)).code in ("several-volumes", "slices")


def test_p03_slices_that_fan_out_are_refused(tmp_path):
    # each half a degree further: radial or rotational scans are no volume on one grid
    def fan(k, one):
        a = np.radians(0.5 * k)
        one.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(a)), float(np.sin(a))]

    assert refusal(eight(tmp_path / "s", fan)).code in ("several-volumes", "slices")


def test_p03_allow_gaps_resamples_and_flags(tmp_path):
    folder = eight(tmp_path / "s", lambda k, one: k not in (2, 5))
    scan = read(folder, allow_gaps=True)
    assert "gaps_resampled" in scan.flags
    # the values grow evenly from slice to slice, so linear interpolation is exact
    assert_same(scan, voxels(EIGHT), truth(), tolerance=1e-3)


def test_p03_allow_gaps_reaches_the_written_file(tmp_path):
    folder = eight(tmp_path / "s", lambda k, one: k != 2)
    done = medssl.convert(folder, tmp_path / "out.npz", allow_gaps=True)
    assert "gaps_resampled" in done["flags"]
    with np.load(tmp_path / "out.npz") as file:
        assert "gaps_resampled" in [str(flag) for flag in file["flags"]]


def test_p03_allow_gaps_does_not_allow_doubles(tmp_path):
    assert refusal(eight(tmp_path / "s", moved(s4=39.0)), allow_gaps=True).code == "slices"


def test_p03_allow_gaps_changes_nothing_where_there_are_none(tmp_path):
    scan = read(eight(tmp_path / "s"), allow_gaps=True)
    assert scan.flags == ()
    assert scan.data.dtype == np.int16


def test_p03_a_gap_between_frames_names_the_frames(tmp_path):
    from tests.promises.series import enhanced

    def skip(k, group):
        if k >= 2:
            group.PlanePositionSequence[0].ImagePositionPatient = [10.5, -20.25, 30.0 + 3 * (k + 1)]

    save_one(enhanced(change=skip), tmp_path / "a.dcm")
    error = refusal(tmp_path / "a.dcm")
    assert error.code == "slices"
    assert names_in(error, "frame 2", "frame 3", "6 mm")


@pytest.mark.parametrize("count", [2, 3])
def test_p03_two_slices_far_apart_are_judged_by_themselves(tmp_path, count):
    # nothing says how far apart they should lie: thick slices are common
    scan = read(save(slices(voxels((3, 2, count)), step=40.0), tmp_path / "s"))
    assert_same(scan, voxels((3, 2, count)), truth(step=40.0))


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 1000),
    k=st.integers(1, 6),
    share=st.floats(0.03, 2.9).filter(lambda value: abs(value - round(value)) > 0.02 or value > 0.9),
    sign=st.sampled_from([-1, 1]),
)
def test_p03_any_slice_out_of_its_place_refuses_the_series(tmp_path, seed, k, share, sign):
    directions = turned(seed)
    across = normal_of(directions) * 2.0

    def shift(n, one):
        if n == k:
            place = np.asarray(one.ImagePositionPatient, dtype=float) + sign * share * across
            one.ImagePositionPatient = [float(value) for value in np.round(place, 6)]

    folder = eight(fresh(tmp_path / "s"), shift, step=2.0, directions=directions)
    error = refusal(folder)
    assert error.code == "slices"
    assert any(name in error.line() for name in NAMES)
    assert "mm" in error.reason
