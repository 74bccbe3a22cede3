"""P13: voxels that are not finite are refused, or filled and counted; constant, empty and extreme ones are refused."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medssl import cli
from tests.promises.files import CODES_OF, LPS, SFORM, marked, mha, nifti, nrrd, put, refused, same


def holed(kind: str, *values: float) -> np.ndarray:
    data = marked(kind=kind)
    data.reshape(-1)[7 : 7 + len(values)] = values
    return data


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("values", [(math.nan,), (math.inf, -math.inf), (math.nan, math.inf, -math.inf)])
def test_p13_nan_and_inf_are_refused_or_filled_and_counted(
    tmp_path: Path, kind: str, values: tuple[float, ...]
) -> None:
    path = put(tmp_path / "a.nii.gz", nifti(holed(kind, *values)))
    line = refused(path, rf"{len(values)} of 120 voxels are not finite \(NaN or Inf\)", "values")
    assert "--nan fill=V" in line
    filled = holed(kind, *[-5.0] * len(values))
    for fill in (-5, "-5", "fill=-5"):
        same(path, filled, SFORM, {f"nan_filled:{len(values)}"}, nan=fill)


def test_p13_the_same_for_other_formats(tmp_path: Path) -> None:
    body = holed("<f4", math.nan).tobytes(order="F")
    for path in (
        put(tmp_path / "a.nrrd", nrrd(body, type="float")),
        put(tmp_path / "a.mha", mha(body, ElementType="MET_FLOAT")),
    ):
        refused(path, "1 of 120 voxels are not finite", "values")
        same(path, holed("f4", 3.0), LPS, {"nan_filled:1"}, nan=3)
    np.savez(tmp_path / "a.npz", data=holed("f4", math.nan), affine=SFORM)
    refused(tmp_path / "a.npz", "1 of 120 voxels are not finite", "values")
    same(tmp_path / "a.npz", holed("f4", 3.0), SFORM, {"nan_filled:1"}, nan=3)


def test_p13_nothing_but_nan_cannot_be_filled(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nii", nifti(np.full((6, 5, 4), np.nan, "f4")))
    refused(path, "no voxel is finite: all are NaN", "values")
    refused(path, "no voxel is finite", "values", nan=0)


@pytest.mark.parametrize("fill", ["x", "fill=", "nan", "inf", "fill=-inf"])
def test_p13_a_senseless_fill_is_refused(tmp_path: Path, fill: str) -> None:
    with pytest.raises(ValueError, match="--nan"):
        same(put(tmp_path / "a.nii", nifti()), marked(), SFORM, nan=fill)


@pytest.mark.parametrize("kind", sorted(CODES_OF))
@pytest.mark.parametrize(("value", "says"), [(0, "constant .an empty image"), (7, "every voxel is 7.*constant")])
def test_p13_constant_and_empty_volumes_are_refused(tmp_path: Path, kind: str, value: int, says: str) -> None:
    refused(put(tmp_path / "a.nii", nifti(np.full((6, 5, 4), value, kind))), says, "values")


def test_p13_a_volume_that_is_constant_but_for_nan_is_refused(tmp_path: Path) -> None:
    data = np.full((6, 5, 4), 3, "f4")
    data[0, 0, 0] = np.nan
    refused(put(tmp_path / "a.nii", nifti(data)), "constant", "values", nan=3)


@pytest.mark.parametrize("value", [3e38, -3e38, 1.1e30])
def test_p13_extreme_values_are_refused(tmp_path: Path, value: float) -> None:
    refused(put(tmp_path / "a.nii", nifti(holed("f4", value))), "extreme values: range .* overflows", "values")


@pytest.mark.parametrize("value", [1e300, -1e300])
def test_p13_extreme_doubles_and_slopes_are_refused(tmp_path: Path, value: float) -> None:
    refused(put(tmp_path / "a.nii", nifti(holed("f8", value))), "extreme values", "values")
    refused(put(tmp_path / "b.nii", nifti(scl_slope=3e37)), "extreme values|not finite", "values")


def test_p13_large_values_that_do_not_overflow_load(tmp_path: Path) -> None:
    data = holed("f4", 9e29, -9e29)
    same(put(tmp_path / "a.nii", nifti(data)), data, SFORM, set())


def test_p13_the_command_line_fills_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path / "a.nii", nifti(holed("f4", math.nan)))
    words: list[Any] = ["convert", str(path), str(tmp_path / "b.nii.gz")]
    assert cli.run(words) == 3
    assert "[values] (--nan fill=V" in capsys.readouterr().err
    assert cli.run([*words, "--nan", "fill=2"]) == 0
    assert "nan_filled:1" in capsys.readouterr().out
    assert b"nan_filled" not in gzip.decompress((tmp_path / "b.nii.gz").read_bytes())
