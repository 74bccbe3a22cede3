"""Writing: the same voxels and the same millimetres in every format, whole or not at all."""

from __future__ import annotations

import os

import numpy as np
import pytest

from medssl.errors import InputError, UsageError
from medssl.io.read import read
from medssl.io.write import FORMATS, write
from medssl.volume import Volume
from tests.io.scans import marked, oblique, volume

SHEARED = oblique()
SHEARED[:3, 2] += [0.3, 0.1, 0.0]
DTYPES = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i2", ">f8")


def voxels(dtype, channels):
    kind = np.dtype(dtype)
    rng = np.random.default_rng(5)
    if kind.kind == "b":
        return rng.integers(0, 2, (channels, 4, 5, 6)).astype(bool)
    if kind.kind == "f":
        return (rng.normal(size=(channels, 4, 5, 6)) * 100).astype(kind)
    limits = np.iinfo(kind)
    plain = kind.newbyteorder("=")
    return rng.integers(limits.min, limits.max, (channels, 4, 5, 6), dtype=plain, endpoint=True).astype(kind)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_p48_every_dtype_comes_back_with_every_value(tmp_path, ending, dtype):
    for channels in (1, 2, 3):
        data = voxels(dtype, channels)
        write(Volume(data, oblique()), tmp_path / f"a{ending}")
        back = read(tmp_path / f"a{ending}")
        assert back.data.shape == data.shape
        # as Python numbers: a comparison in float64 would hide lost digits
        assert back.data.ravel().tolist() == data.ravel().tolist()
        if np.dtype(dtype).itemsize < 8 and dtype not in ("b1", "f2", "u1"):
            assert back.data.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("affine", [oblique(), SHEARED, oblique() @ np.diag([-1, 1, 1, 1])], ids=["l", "shear", "flip"])
def test_p48_every_affine_comes_back(tmp_path, ending, affine):
    write(volume(affine=affine), tmp_path / f"a{ending}")
    back = read(tmp_path / f"a{ending}")
    np.testing.assert_allclose(back.affine, affine, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(back.data[0], marked())
    assert (back.flags == ("sheared",)) == (affine is SHEARED)


def test_other_readers_agree_on_the_place_of_a_voxel(tmp_path):
    import nibabel
    import SimpleITK as sitk  # noqa: N813

    for affine in (oblique(), SHEARED):
        scan = volume(affine=affine)
        mm = affine @ [4, 3, 2, 1]
        write(scan, tmp_path / "a.nii.gz")
        image = nibabel.load(tmp_path / "a.nii.gz")
        np.testing.assert_allclose(image.affine @ [4, 3, 2, 1], mm, atol=1e-5)
        header = image.header
        assert int(header["sform_code"]) == 1
        assert int(header["qform_code"]) == (0 if affine is SHEARED else 1)
        if affine is not SHEARED:
            np.testing.assert_allclose(image.get_qform(), affine, atol=1e-5)
        for ending in (".mha", ".nrrd"):
            write(scan, tmp_path / f"a{ending}")
            other = sitk.ReadImage(str(tmp_path / f"a{ending}"))
            place = other.TransformIndexToPhysicalPoint((4, 3, 2))
            np.testing.assert_allclose(np.array(place) * [-1, -1, 1], mm[:3], atol=1e-5)
            assert other[4, 3, 2] == scan.data[0, 4, 3, 2]


def test_a_long_axis_becomes_nifti_2(tmp_path):
    data = np.arange(2 * 2 * 40000, dtype=np.int32).reshape(1, 2, 2, 40000)
    write(Volume(data, np.eye(4)), tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == (540).to_bytes(4, "little")
    np.testing.assert_array_equal(read(tmp_path / "a.nii").data, data)


def test_flags_stay_where_the_format_has_room(tmp_path):
    scan = Volume(marked()[None], oblique(), ("sheared", "nan_filled:3"))
    write(scan, tmp_path / "a.npz")
    assert read(tmp_path / "a.npz").flags == scan.flags


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "a.mhd", "a.nhdr", "a.npy", "a.dcm", "a.gz", "a", "a.png"])
def test_a_format_that_is_not_written_is_refused_with_the_ones_that_are(tmp_path, name):
    with pytest.raises(UsageError, match=r"ends in one of [.]nii[.]gz, [.]nii, [.]mha, [.]nrrd, [.]npz"):
        write(volume(), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["c8", "O", "U2", "M8[s]"])
def test_voxels_that_are_no_real_numbers_are_refused(tmp_path, dtype):
    data = np.zeros((1, 3, 3, 3), dtype=dtype)
    for ending in FORMATS:
        with pytest.raises(InputError, match="cannot be written"):
            write(Volume(data, np.eye(4)), tmp_path / f"a{ending}")
    with pytest.raises(InputError, match="of size"):
        write(Volume(np.zeros((1, 0, 3, 3)), np.eye(4)), tmp_path / "a.nii")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", FORMATS)
def test_p49_a_link_is_replaced_and_what_it_named_stays(tmp_path, ending):
    (tmp_path / "kept").write_bytes(b"kept")
    target = tmp_path / f"a{ending}"
    target.symlink_to(tmp_path / "kept")
    write(volume(), target)
    assert (tmp_path / "kept").read_bytes() == b"kept"
    assert not target.is_symlink()
    np.testing.assert_array_equal(read(target).data[0], marked())


@pytest.mark.parametrize("ending", FORMATS)
def test_p49_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, ending, monkeypatch):
    target = tmp_path / f"a{ending}"
    target.write_bytes(b"old")

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Exception, match="No space left"):
        write(volume(), target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_odd_names_are_written(tmp_path):
    for stem in ("-a b", "ü\n", "x" * 240, "%s{0}"):
        write(volume(), tmp_path / f"{stem}.nii.gz")
        np.testing.assert_array_equal(read(tmp_path / f"{stem}.nii.gz").data[0], marked())
