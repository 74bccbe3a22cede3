"""NIfTI: which affine holds, what a header must be, and every byte accounted for."""

from __future__ import annotations

import gzip
import os

import nibabel
import numpy as np
import pytest

from medssl.errors import InputError
from medssl.io.read import read
from tests.io.scans import marked, oblique


def save(path, data=None, sform=None, qform=None, **header):
    data = marked() if data is None else data
    image = nibabel.Nifti1Image(data, None)
    image.header.set_xyzt_units("mm")
    image.header["pixdim"][1:4] = [0.7, 1.9, 3.0]
    if sform is not None:
        image.set_sform(sform, code=1)
    if qform is not None:
        image.set_qform(qform, code=1)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def patch(path, at, data):
    """Change bytes of a file."""
    whole = bytearray(path.read_bytes())
    whole[at : at + len(data)] = data
    path.write_bytes(whole)
    return path


def test_the_sform_holds_before_the_qform(tmp_path):
    shifted = oblique()
    shifted[:3, 3] += 0.2
    scan = read(save(tmp_path / "a.nii", sform=oblique(), qform=shifted))
    np.testing.assert_allclose(scan.affine, oblique(), atol=1e-5)
    assert scan.flags == ()


def test_disagreement_is_refused_unless_one_is_preferred(tmp_path):
    shifted = oblique()
    shifted[:3, 3] += [2.0, 0, 0]
    path = save(tmp_path / "a.nii", sform=oblique(), qform=shifted)
    with pytest.raises(InputError, match=r"sform and qform disagree: a corner is 2.00 mm"):
        read(path)
    scan = read(path, prefer="qform")
    np.testing.assert_allclose(scan.affine, shifted, atol=1e-5)
    assert "sform_qform_mismatch" in scan.flags


def test_without_codes_the_orientation_is_flagged(tmp_path):
    assert "no_orientation" in read(save(tmp_path / "a.nii")).flags


def test_units_become_millimetres(tmp_path):
    scan = read(save(tmp_path / "a.nii", sform=oblique(), xyzt_units=3))
    np.testing.assert_allclose(scan.affine[:3], oblique()[:3] * 1e-3, atol=1e-8)


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_a_slope_of_nothing_scales_nothing(tmp_path, slope):
    path = save(tmp_path / "a.nii", sform=oblique())
    patch(path, 112, np.array([slope, 7.0], "<f4").tobytes())
    np.testing.assert_array_equal(read(path).data[0], marked())


def test_slope_and_intercept(tmp_path):
    path = patch(save(tmp_path / "a.nii", sform=oblique()), 112, np.array([2.5, -7.0], "<f4").tobytes())
    np.testing.assert_allclose(read(path).data[0], marked() * 2.5 - 7)


@pytest.mark.parametrize(
    ("at", "data", "message"),
    [
        (112, np.array([np.inf, 0], "<f4").tobytes(), "scl_slope inf"),
        (40, np.array([9], "<i2").tobytes(), "dim"),
        (70, np.array([33], "<i2").tobytes(), "datatype 33 is unknown"),
        (70, np.array([32], "<i2").tobytes(), "complex"),
        (70, np.array([128], "<i2").tobytes(), "colour"),
        (72, np.array([8], "<i2").tobytes(), "bitpix"),
        (108, np.array([100], "<f4").tobytes(), "vox_offset"),
        (280, np.array([np.nan], "<f4").tobytes(), "not finite"),
        (42, np.array([30000, 30000, 30000], "<i2").tobytes(), "over the size limit"),
        (42, np.array([7], "<i2").tobytes(), "truncated"),
        (42, np.array([5], "<i2").tobytes(), "corrupt: 240 data bytes, the header declares 200"),
        (46, np.array([1], "<i2").tobytes(), "2D image"),
        (0, b"\0\0\0\0", "sizeof_hdr"),
    ],
)
def test_broken_headers_are_refused(tmp_path, at, data, message):
    path = patch(save(tmp_path / "a.nii", sform=oblique()), at, data)
    with pytest.raises(InputError, match=message):
        read(path)


def test_every_cut_and_every_flipped_byte_of_a_gzip_stream_is_seen(tmp_path):
    path = save(tmp_path / "a.nii.gz", sform=oblique())
    whole = path.read_bytes()
    good = read(path).data
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"a\.nii\.gz"):
            read(path)
    for at in range(len(whole) - 8, len(whole)):
        patched = bytearray(whole)
        patched[at] ^= 1
        path.write_bytes(patched)
        with pytest.raises(InputError, match="checksum"):
            read(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(InputError, match="gzip stream"):
        read(path)
    path.write_bytes(whole)
    np.testing.assert_array_equal(read(path).data, good)


def test_a_gzip_bomb_is_refused_from_its_header(tmp_path):
    path = save(tmp_path / "a.nii.gz", sform=oblique())
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[42:48] = np.array([1000, 1000, 1000], "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(InputError, match="cannot hold the 2000000000 declared"):
        read(path)


def test_time_series_are_never_reduced_silently(tmp_path):
    data = np.stack([marked(), marked() + 1000], axis=-1)
    path = save(tmp_path / "a.nii", data, sform=oblique())
    with pytest.raises(InputError, match=r"4D image of size \(6, 5, 4, 2\)") as caught:
        read(path)
    assert caught.value.code == "several-volumes"
    np.testing.assert_array_equal(read(path, volume=1).data[0], marked() + 1000)
    with pytest.raises(InputError, match="volume 2 of a file with 2"):
        read(path, volume=2)


def test_a_trailing_axis_of_one_goes(tmp_path):
    assert read(save(tmp_path / "a.nii", marked()[..., None, None], sform=oblique())).data.shape == (1, 6, 5, 4)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Image])
def test_pairs_and_the_second_version_read(tmp_path, kind):
    ending = ".img" if kind is nibabel.Nifti1Pair else ".nii"
    nibabel.save(kind(marked(), oblique()), tmp_path / f"a{ending}")
    for path in tmp_path.iterdir():
        scan = read(path)
        np.testing.assert_array_equal(scan.data[0], marked())
        np.testing.assert_allclose(scan.affine, oblique(), atol=1e-5)


def test_big_endian_values_come_in_this_machines_order(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.dtype(">i2"))
    nibabel.save(nibabel.Nifti1Image(marked(), oblique(), header), tmp_path / "a.nii")
    scan = read(tmp_path / "a.nii")
    np.testing.assert_array_equal(scan.data[0], marked())
    assert scan.data.dtype.isnative


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "1 of 120 voxels are not finite"), (np.inf, "not finite"), (1e35, "extreme values")],
)
def test_values_that_break_training_are_refused(tmp_path, value, message):
    data = marked(dtype="f4")
    data[1, 2, 3] = value
    with pytest.raises(InputError, match=message):
        read(save(tmp_path / "a.nii", data, sform=oblique()))


def test_nan_is_filled_where_asked_and_counted(tmp_path):
    data = marked(dtype="f4")
    data[1, 2, 3] = np.nan
    scan = read(save(tmp_path / "a.nii", data, sform=oblique()), nan_fill=-5.0)
    assert scan.data[0, 1, 2, 3] == -5
    assert "nan_filled:1" in scan.flags


def test_a_constant_volume_is_refused(tmp_path):
    with pytest.raises(InputError, match="every voxel is 3"):
        read(save(tmp_path / "a.nii", np.full((6, 5, 4), 3, np.int16), sform=oblique()))


def test_suffix_and_content_must_agree(tmp_path):
    path = save(tmp_path / "a.nii.gz", sform=oblique())
    path.rename(tmp_path / "b.nii")
    with pytest.raises(InputError, match="the suffix says NIfTI, the content is gzip-compressed NIfTI"):
        read(tmp_path / "b.nii")
    for text, name in ((b"<!DOCTYPE html><html>", "HTML"), (b"version https://git-lfs.github.com/spec/v1\n", "LFS")):
        (tmp_path / "c.nii.gz").write_bytes(text)
        with pytest.raises(InputError, match=name):
            read(tmp_path / "c.nii.gz")


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(InputError, match="expected a regular file, got a pipe"):
        read(tmp_path / "a.nii")
    (tmp_path / "b.nii").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="got a device"):
        read(tmp_path / "b.nii")
    (tmp_path / "c.nii").symlink_to(tmp_path / "c.nii")
    with pytest.raises(InputError, match="symbolic links"):
        read(tmp_path / "c.nii")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "d.nii")


def test_hostile_names_work_and_cannot_forge_output(tmp_path):
    for name in ("-rf.nii", "a b\nc.nii", "ü$(x)%s.nii", "x" * 240 + ".nii"):
        assert read(save(tmp_path / name, sform=oblique())).shape == (6, 5, 4)
    with pytest.raises(InputError, match="does not exist") as caught:
        read(tmp_path / "a\nmedssl: error: forged.nii")
    assert "\n" not in caught.value.line()
