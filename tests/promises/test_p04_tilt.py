"""P4: a tilted gantry gives the exact sheared affine and a flag, decided from the positions and never from the tag."""

from __future__ import annotations

import numpy as np
import pytest

import medssl
from medssl.io.read import read
from tests.promises.series import (
    AXIAL,
    CORONAL,
    assert_same,
    enhanced,
    normal_of,
    save,
    save_one,
    slices,
    truth,
    turned,
    voxels,
)


def tilted(degrees: float) -> tuple[float, ...]:
    """Axial slices whose columns lean by this much."""
    lean = np.radians(degrees)
    return (1.0, 0.0, 0.0, 0.0, round(float(np.cos(lean)), 8), round(float(np.sin(lean)), 8))


@pytest.mark.parametrize("degrees", [-30.0, -18.0, -5.0, 0.5, 2.0, 12.5, 24.0, 45.0])
def test_p04_the_affine_is_sheared_exactly(tmp_path, degrees):
    step = (0.0, 0.0, 3.0)
    scan = read(save(slices(directions=tilted(degrees), step=step), tmp_path / "s"))
    assert_same(scan, voxels(), truth(tilted(degrees), step))
    assert "sheared" in scan.flags
    # the table moves along z: no column of the affine but the rows' may lean
    np.testing.assert_allclose(np.abs(scan.affine[:3, 2]), [0, 0, 3], atol=1e-6)


def test_p04_a_gantry_turned_about_both_axes(tmp_path):
    directions, step = turned(21), (0.5, -0.8, 2.5)
    scan = read(save(slices(directions=directions, step=step), tmp_path / "s"))
    assert_same(scan, voxels(), truth(directions, step))
    assert "sheared" in scan.flags


@pytest.mark.parametrize("tag", [15.0, -22.5, 0.0, ""])
def test_p04_the_tag_alone_makes_no_tilt(tmp_path, tag):
    scan = read(save(slices(GantryDetectorTilt=tag), tmp_path / "s"))
    assert_same(scan, voxels(), truth())
    assert scan.flags == ()


@pytest.mark.parametrize("tag", [0.0, -12.0, None])
def test_p04_the_tag_alone_does_not_straighten_a_tilt(tmp_path, tag):
    step = (0.0, 0.0, 3.0)
    tags = {"GantryDetectorTilt": tag} if tag is not None else {}
    scan = read(save(slices(directions=tilted(12), step=step, **tags), tmp_path / "s"))
    assert_same(scan, voxels(), truth(tilted(12), step))
    assert "sheared" in scan.flags


def test_p04_an_oblique_series_is_not_a_tilted_one(tmp_path):
    for n, directions in enumerate((AXIAL, CORONAL, turned(6), turned(7))):
        assert read(save(slices(directions=directions), tmp_path / str(n))).flags == ()


def test_p04_rounding_of_the_directions_is_no_tilt(tmp_path):
    directions = tuple(round(value, 4) for value in turned(9))
    across = np.round(normal_of(turned(9)) * 3, 4)
    scan = read(save(slices(directions=directions, step=across), tmp_path / "s"))
    assert_same(scan, voxels(), truth(directions, across), tolerance=1e-2)
    assert scan.flags == ()


def test_p04_a_tilted_multi_frame_file(tmp_path):
    step = (0.0, 0.0, 3.0)
    save_one(enhanced(directions=tilted(-14), step=step, order=[1, 3, 0, 2]), tmp_path / "a.dcm")
    scan = read(tmp_path / "a.dcm")
    assert_same(scan, voxels(), truth(tilted(-14), step))
    assert "sheared" in scan.flags


@pytest.mark.parametrize("suffix", [".nii.gz", ".npz", ".nrrd"])
def test_p04_the_shear_and_its_flag_outlive_conversion(tmp_path, suffix):
    step = (0.0, 0.0, 3.0)
    save(slices(directions=tilted(20), step=step), tmp_path / "s")
    done = medssl.convert(tmp_path / "s", tmp_path / f"out{suffix}")
    assert "sheared" in done["flags"]
    back = read(tmp_path / f"out{suffix}")
    assert_same(back, voxels(), truth(tilted(20), step), tolerance=1e-3)
    assert "sheared" in back.flags
