"""P1, DICOM: every voxel lies where the tags say, in every orientation, type, syntax and order of storage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medssl.io.read import read
from medssl.io.write import write
from tests.promises.series import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    SYNTAXES,
    assert_same,
    enhanced,
    fresh,
    normal_of,
    save,
    save_one,
    slices,
    truth,
    turned,
    voxels,
)

DIRECTIONS = {
    "axial": AXIAL,
    "axial, feet first": (-1.0, 0, 0, 0, 1, 0),
    "axial, prone": (-1.0, 0, 0, 0, -1, 0),
    "axial, on the left side": (0.0, 1, 0, -1, 0, 0),
    "coronal": CORONAL,
    "sagittal": SAGITTAL,
    "sagittal, from the left": (0.0, -1, 0, 0, 0, -1),
    "oblique": turned(1),
    "double oblique": turned(2),
    "nearly axial": (0.9999, 0.0141418, 0.0, -0.0141418, 0.9999, 0.0),
}
EVERY = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture], "derandomize": True}


@pytest.mark.parametrize("step", [3.0, -3.0], ids=["along", "against"])
@pytest.mark.parametrize("directions", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_p01_every_orientation_in_both_slice_orders(tmp_path, directions, step):
    save(slices(directions=directions, step=step), tmp_path / "s")
    scan = read(tmp_path / "s")
    assert_same(scan, voxels(), truth(directions, step))
    assert scan.flags == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
def test_p01_every_integer_type_keeps_its_extremes(tmp_path, dtype):
    wanted = voxels(dtype=dtype)
    wanted[0, 0, 0], wanted[5, 4, 3] = np.iinfo(dtype).min, np.iinfo(dtype).max
    scan = read(save(slices(wanted), tmp_path / "s"))
    assert_same(scan, wanted.astype(np.float64), truth())


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES.keys())
def test_p01_every_plain_syntax(tmp_path, syntax, dtype):
    # an odd number of bytes in a plane, so that there is a padding byte
    wanted = voxels((5, 3, 4), dtype)
    scan = read(save(slices(wanted), tmp_path / "s", syntax=syntax))
    assert_same(scan, wanted, truth())


def test_p01_syntaxes_may_differ_from_slice_to_slice(tmp_path):
    for n, (one, syntax) in enumerate(zip(slices(), SYNTAXES.values(), strict=True)):
        save([one], tmp_path / "s", lambda _, n=n: f"IM{n}", syntax)
    assert_same(read(tmp_path / "s"), voxels(), truth())


@pytest.mark.parametrize("count", [2, 3, 250])
def test_p01_few_and_many_slices(tmp_path, count):
    wanted = voxels((3, 2, count))
    scan = read(save(slices(wanted), tmp_path / "s", lambda n: f"{(n * 7919) % 99991:05d}"))
    assert_same(scan, wanted, truth())


def test_p01_far_from_the_origin_and_with_tiny_voxels(tmp_path):
    # micro-CT: steps of hundredths of a millimetre are no doubles of one place
    spacing, origin = (0.04, 0.03), (-8000.5, 12000.25, -90000.125)
    scan = read(save(slices(spacing=spacing, origin=origin, step=0.05), tmp_path / "s"))
    assert_same(scan, voxels(), truth(step=0.05, spacing=spacing, origin=origin), tolerance=1e-3)


def test_p01_thick_slices_as_large_as_the_body(tmp_path):
    scan = read(save(slices(step=120.0), tmp_path / "s"))
    assert_same(scan, voxels(), truth(step=120.0))


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".npz"])
def test_p01_the_affine_outlives_conversion(tmp_path, suffix):
    directions, step = turned(5), -2.5
    save(slices(directions=directions, step=step), tmp_path / "s")
    write(read(tmp_path / "s"), tmp_path / f"out{suffix}")
    assert_same(read(tmp_path / f"out{suffix}"), voxels(), truth(directions, step), tolerance=1e-3)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2], [3, 2, 1, 0]])
def test_p01_multi_frame_files_in_every_order(tmp_path, order):
    directions = turned(3)
    save_one(enhanced(directions=directions, order=order), tmp_path / "a.dcm")
    scan = read(tmp_path / "a.dcm")
    assert_same(scan, voxels(), truth(directions))


@settings(max_examples=25, **EVERY)
@given(data=st.data())
def test_p01_any_valid_series_is_exact(tmp_path, data):
    draw = data.draw
    directions = turned(draw(st.integers(10, 10_000), label="rotation"))
    shape = draw(st.tuples(*[st.integers(2, 6)] * 3), label="shape")
    spacing = draw(st.tuples(*[st.floats(0.2, 5).map(lambda value: round(value, 4))] * 2), label="spacing")
    length = draw(st.floats(0.3, 20), label="step") * draw(st.sampled_from([1, -1]), label="sign")
    across = normal_of(directions) * length
    if draw(st.booleans(), label="tilted"):
        along_column = np.asarray(directions[3:])
        across = across + along_column * abs(length) * draw(st.floats(-0.6, 0.6), label="tilt")
    across = np.round(across, 5)
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.int16, np.int32]), label="dtype")
    slopes = draw(st.lists(st.sampled_from([1, 0.5, 2.25, -1]), min_size=shape[2], max_size=shape[2]), label="slopes")
    names = draw(st.permutations(range(shape[2])), label="names")
    syntax = draw(st.sampled_from(list(SYNTAXES.values())), label="syntax")
    stored = voxels(shape, dtype)

    def rescale(k, one):
        one.RescaleSlope, one.RescaleIntercept = slopes[k], -7 * k

    made = slices(stored, directions, across, spacing, change=rescale)
    folder = save(made, fresh(tmp_path / "s"), lambda n: f"I{names[n]:03d}", syntax)
    wanted = stored * np.asarray(slopes, dtype=float) - 7 * np.arange(shape[2])
    if np.ptp(wanted) > 0:
        assert_same(read(folder), wanted, truth(directions, across, spacing), tolerance=2e-3)
