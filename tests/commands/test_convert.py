"""``convert`` and ``inspect`` as Python calls."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medssl.commands.convert import convert
from medssl.commands.inspect import inspect
from medssl.errors import InputError, UsageError
from medssl.io.read import read
from medssl.io.write import write
from medssl.volume import Volume
from tests.io.scans import marked, oblique, volume, write_slices


def test_convert_says_what_it_wrote(tmp_path):
    source = write_slices(tmp_path / "ct")
    result = convert(source, tmp_path / "out.nii.gz")
    assert json.loads(json.dumps(result)) == {
        "source": str(source),
        "written": str(tmp_path / "out.nii.gz"),
        "shape": [6, 5, 4],
        "channels": 1,
        "dtype": "int16",
        "spacing_mm": [0.7, 1.9, 3.0],
        "orientation": "LPS",
        "modality": "CT",
        "flags": [],
    }
    np.testing.assert_array_equal(read(tmp_path / "out.nii.gz").data[0], marked((6, 5, 4)))
    for path in tmp_path.glob("out*"):
        assert b"CANARY" not in path.read_bytes()


def test_the_archive_holds_data_affine_and_flags(tmp_path):
    tilt = np.radians(10)
    folder = write_slices(tmp_path / "ct", directions=(1, 0, 0, 0, np.cos(tilt), np.sin(tilt)))
    convert(folder, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as out:
        assert sorted(out.files) == ["affine", "data", "flags"]
        assert out["data"].shape == (6, 5, 4)
        assert out["flags"].tolist() == ["sheared"]


@pytest.mark.parametrize("nan", [-3.0, "fill=-3", "-3"])
def test_nan_is_filled_where_asked(tmp_path, nan):
    data = marked(dtype="f4")
    data[0, 0, 0] = np.nan
    write(Volume(data[None], oblique()), tmp_path / "a.nii")
    with pytest.raises(InputError, match="not finite"):
        convert(tmp_path / "a.nii", tmp_path / "b.nii")
    assert convert(tmp_path / "a.nii", tmp_path / "b.nii", nan=nan)["flags"] == ["nan_filled:1"]
    assert read(tmp_path / "b.nii").data[0, 0, 0, 0] == -3


def test_a_fill_that_is_no_number_is_a_usage_error(tmp_path):
    for nan in ("fill=x", "nan", "inf"):
        with pytest.raises(UsageError, match=r"number|finite"):
            convert(tmp_path / "a.nii", tmp_path / "b.nii", nan=nan)


def test_inspect_a_folder_of_everything(tmp_path):
    write(volume(), tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(b"")
    write_slices(tmp_path / "ct")
    write_slices(tmp_path / "ct" / "two", SeriesInstanceUID="9.9", RescaleIntercept=100)
    result = inspect(tmp_path)
    assert [volume["format"] for volume in result["volumes"]] == ["nifti.gz", "", "dicom", "dicom"]
    assert [problem["code"] for problem in result["problems"]] == ["truncated"]
    first, _, one, two = result["volumes"]
    assert (first["shape"], first["orientation"], first["range"]) == ([6, 5, 4], "RAS", [0.0, 119.0])
    assert first["quantiles"]["0.5"] == 59.5
    assert (one["series"], two["series"], two["range"][0]) == (1, 2, 100.0)
    assert "CANARY" not in json.dumps(result)


def test_inspect_nothing(tmp_path):
    with pytest.raises(InputError, match="no scans in the folder"):
        inspect(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        inspect(tmp_path / "gone.nii")
