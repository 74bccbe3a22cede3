"""Round trips through every format, checked against the library that other people use for it."""

from __future__ import annotations

import os

import numpy as np
import pytest

from medssl.atomic import replacing
from medssl.errors import InputError, ResourceError, UsageError
from medssl.io.read import read
from medssl.io.write import write
from medssl.volume import LPS_TO_RAS, Volume
from tests.io.scans import marked, oblique, volume

ENDINGS = [".nii.gz", ".nii", ".mha", ".nrrd", ".npz"]


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip_keeps_voxels_and_affine(tmp_path, ending, dtype):
    scan = volume(dtype)
    write(scan, tmp_path / f"a{ending}")
    again = read(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(again.data, scan.data)
    np.testing.assert_allclose(again.affine, scan.affine, atol=2e-6)
    assert again.data.dtype == scan.data.dtype
    assert again.flags == ()
    assert [entry.name for entry in tmp_path.iterdir()] == [f"a{ending}"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_channels_survive(tmp_path, ending):
    scan = Volume(np.stack([marked(dtype="f4"), marked(dtype="f4") + 0.5]), oblique())
    write(scan, tmp_path / f"a{ending}")
    np.testing.assert_array_equal(read(tmp_path / f"a{ending}").data, scan.data)


@pytest.mark.parametrize("ending", ENDINGS)
def test_shear_survives(tmp_path, ending):
    affine = oblique()
    affine[:3, 2] += [0.0, 0.8, 0.0]
    write(volume(affine=affine), tmp_path / f"a{ending}")
    again = read(tmp_path / f"a{ending}")
    np.testing.assert_allclose(again.affine, affine, atol=2e-6)
    assert ending == ".npz" or again.flags == ("sheared",)


@pytest.mark.parametrize("ending", [".nii.gz", ".mha", ".nrrd"])
def test_other_libraries_see_the_same_geometry(tmp_path, ending):
    import nibabel
    import SimpleITK as sitk  # noqa: N813

    scan = volume()
    write(scan, tmp_path / f"a{ending}")
    image = sitk.ReadImage(str(tmp_path / f"a{ending}"))
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    np.testing.assert_allclose(LPS_TO_RAS @ lps, scan.affine, atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, scan.data[0])
    if ending == ".nii.gz":
        header = nibabel.load(tmp_path / "a.nii.gz").header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
        assert not bytes(header["descrip"]).strip(b"\0")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_files_of_itk_read_exactly(tmp_path, ending, compress):
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(marked().T.copy())
    image.SetSpacing((0.7, 1.9, 3.0))
    image.SetOrigin((20.0, -33.0, -7.0))
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    image.SetMetaData("PatientName", "CANARY^PHI")
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"), useCompression=compress)
    scan = read(tmp_path / f"a{ending}")
    np.testing.assert_array_equal(scan.data[0], marked())
    np.testing.assert_allclose(
        scan.affine, [[0, 0, -3.0, -20], [-0.7, 0, 0, 33], [0, 1.9, 0, -7], [0, 0, 0, 1]], atol=1e-12
    )
    assert "CANARY" not in repr(scan)


def test_nothing_is_left_behind_when_writing_fails(tmp_path):
    with pytest.raises(UsageError, match="ends in one of"):
        write(volume(), tmp_path / "a.png")
    with pytest.raises(UsageError, match="does not exist"):
        write(volume(), tmp_path / "no" / "a.nii")
    with pytest.raises(InputError, match="complex128 cannot be written"):
        write(Volume(marked()[None] * 1j, oblique()), tmp_path / "a.nii")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_error(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")

    def fill():
        with replacing(tmp_path / "a.txt"), open("/dev/full", "w") as file:
            file.write("x")
            file.flush()

    with pytest.raises(ResourceError, match="No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []
