"""NIfTI headers read and written here, held against nibabel's."""

from __future__ import annotations

import gzip
import sys
import time
import warnings

import nibabel
import numpy as np
import pytest

from medssl.draws import generator
from medssl.io.formats.nifti_affine import choose_affine
from medssl.io.formats.nifti_header import NiftiHeader, packed_header, quaternion, rotation
from medssl.io.read import read
from medssl.io.write import FORMATS, write
from medssl.volume import Volume
from tests.io.scans import marked, oblique


def turned(rng):
    """A random affine: any rotation, spacing, handedness and place."""
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    out = np.eye(4)
    out[:3, :3] = axes * rng.uniform(0.3, 6, 3)
    out[:3, 3] = rng.normal(size=3) * 100
    return out


@pytest.mark.parametrize("kind", [nibabel.Nifti1Header, nibabel.Nifti2Header])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", ["sform", "qform", "neither"])
def test_affines_are_those_that_nibabel_finds(tmp_path, kind, order, form):
    rng = generator(0, 3, 1)
    for _ in range(5):
        theirs = kind(endianness=order)
        theirs.set_data_shape((7, 6, 5))
        theirs.set_xyzt_units("mm")
        theirs["pixdim"][1:4] = rng.uniform(0.5, 3, 3)
        if form == "sform":
            theirs.set_sform(turned(rng), code=2)
        elif form == "qform":
            theirs.set_qform(turned(rng), code=1)
        ours = NiftiHeader(theirs.binaryblock, order)
        affine, _ = choose_affine(ours, (7, 6, 5), tmp_path / "a.nii", None)
        np.testing.assert_allclose(affine, theirs.get_best_affine(), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nibabel_reads_what_is_written(tmp_path, dtype, ending):
    rng = generator(0, 3, 2)
    for channels in (1, 3):
        data = rng.integers(0, 100, (channels, 6, 5, 4)).astype(dtype)
        affine = turned(rng)
        write(Volume(data, affine), tmp_path / f"a{ending}")
        theirs = nibabel.load(tmp_path / f"a{ending}")
        values = np.asarray(theirs.dataobj)
        np.testing.assert_array_equal(
            values if channels == 1 else np.moveaxis(values[:, :, :, 0], 3, 0), data.squeeze()
        )
        assert theirs.get_data_dtype() == np.dtype(dtype)
        for found, code in (theirs.get_sform(coded=True), theirs.get_qform(coded=True)):
            assert code == 1
            np.testing.assert_allclose(found, affine, atol=1e-4)
        assert theirs.header.get_xyzt_units()[0] == "mm"
        assert not nibabel.Nifti1Header.diagnose_binaryblock(theirs.header.binaryblock)


def test_a_sheared_volume_has_no_qform(tmp_path):
    affine = np.array([[1.0, 0, 0.5, 3], [0, 2, 0, 4], [0, 0, 3, 5], [0, 0, 0, 1]])
    write(Volume(marked()[None], affine), tmp_path / "a.nii")
    theirs = nibabel.load(tmp_path / "a.nii")
    assert theirs.get_qform(coded=True) == (None, 0)
    np.testing.assert_allclose(theirs.affine, affine)


def test_an_axis_too_long_for_nifti_1_makes_a_nifti_2(tmp_path):
    data = np.arange(40_000 * 4, dtype=np.int32).reshape(1, 40_000, 2, 2)
    write(Volume(data, oblique()), tmp_path / "a.nii.gz")
    theirs = nibabel.load(tmp_path / "a.nii.gz")
    assert isinstance(theirs, nibabel.Nifti2Image)
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), data[0])
    np.testing.assert_allclose(theirs.affine, oblique())
    np.testing.assert_array_equal(read(tmp_path / "a.nii.gz").data, data)


@pytest.mark.parametrize("degrees", [0, 1e-4, 45, 90, 179.9999, 180, 270])
@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0, 0.8)])
def test_a_quaternion_gives_its_rotation_back(axis, degrees):
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    a, b, c, d = quaternion(turn)
    assert a >= 0
    np.testing.assert_allclose(abs(a), abs(np.cos(angle / 2)), atol=1e-9)
    np.testing.assert_allclose(nibabel.quaternions.quat2mat([a, b, c, d]), turn, atol=1e-9)


def test_the_third_axis_is_turned_around_for_a_left_handed_volume():
    turn, hand = rotation(np.diag([1.0, 2, -3, 1]))
    np.testing.assert_allclose(turn, np.eye(3))
    assert hand == -1
    header = NiftiHeader(packed_header((4, 4, 4), np.dtype("i2"), np.diag([1.0, 2, -3, 1]), False)[:348], "<")
    assert header["pixdim"][0] == -1


@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_volume_gives_the_same_bytes(tmp_path, monkeypatch, ending):
    write(Volume(marked()[None], oblique()), tmp_path / f"a{ending}")
    later = time.time() + 1e6
    monkeypatch.setattr(time, "time", lambda: later)
    write(Volume(marked()[None], oblique()), tmp_path / f"another{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"another{ending}").read_bytes()


def test_a_gzip_file_says_neither_name_nor_hour(tmp_path):
    write(Volume(marked()[None], oblique()), tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes()[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


def test_files_are_written_without_isal_as_well(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    write(Volume(marked()[None], oblique()), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "a.nii.gz").dataobj), marked())
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes())[344:348] == b"n+1\0"


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("shape", [(1, 64, 64, 700), (1, 2, 2, 2), (3, 5, 4, 900)])
def test_volumes_of_several_slabs_in_either_memory_order(tmp_path, layout, shape):
    data = np.array(np.arange(np.prod(shape)).reshape(shape), dtype=np.float32, order=layout)
    write(Volume(data, oblique()), tmp_path / "a.nii")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read(tmp_path / "a.nii").data, data)
