"""P10: the sform if coded, else the qform; a disagreement refused unless one is preferred; units, slopes, no codes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from tests.promises.files import SFORM, converted, marked, nifti, put, refused, same

HALF_TURN = {"quatern": [0.0, 0.0, 1.0], "qoffset": [-15, 20, -30], "qform_code": 1}
STRAIGHT: dict[str, Any] = {"quatern": [0, 0, 0], "qoffset": [-15, 20, -30], "qform_code": 1}
PIXDIM = [1.5, 1.2, 3.0, 1, 1, 1, 1]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_p10_sform_alone_qform_alone_and_both(tmp_path: Path, version: int, order: str) -> None:
    path = tmp_path / "a.nii"
    same(put(path, nifti(version=version, order=order)), marked(), SFORM, set())
    same(put(path, nifti(version=version, order=order, **STRAIGHT)), marked(), SFORM, set())
    same(put(path, nifti(version=version, order=order, sform_code=0, **STRAIGHT)), marked(), SFORM, set())


@pytest.mark.parametrize("sform_code", [1, 2, 3, 4, 5, 7])
def test_p10_every_code_counts(tmp_path: Path, sform_code: int) -> None:
    same(put(tmp_path / "a.nii", nifti(sform_code=sform_code)), marked(), SFORM, set())


@pytest.mark.parametrize("name", ["sform_code", "qform_code"])
def test_p10_a_negative_code_is_refused(tmp_path: Path, name: str) -> None:
    refused(put(tmp_path / "a.nii", nifti(**{name: -1})), f"corrupt header: {name}", "corrupt")


@pytest.mark.parametrize("qfac", [1.0, 0.0, -1.0])
@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.3, -0.4, 0.8), (math.pi, 0.0, 0.0), (0.0, math.pi, 0.0)])
def test_p10_the_qform_is_decoded_as_nibabel_does(tmp_path: Path, qfac: float, angles: tuple[float, ...]) -> None:
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[i, i] = step[j, j] = math.cos(angle)
        step[i, j], step[j, i] = -math.sin(angle), math.sin(angle)
        turn = turn @ step
    quaternion = nibabel.quaternions.mat2quat(turn)
    want = np.eye(4)
    want[:3, :3] = turn * [1.5, 1.2, 3.0 * (-1 if qfac < 0 else 1)]
    want[:3, 3] = [4, 5, 6]
    fields = {"quatern": quaternion[1:], "qoffset": [4, 5, 6], "qform_code": 1, "sform_code": 0}
    same(put(tmp_path / "a.nii", nifti(pixdim=[qfac, *PIXDIM], **fields)), marked(), want, set())


def test_p10_a_quaternion_over_one_by_rounding_is_a_half_turn(tmp_path: Path) -> None:
    content = nifti(sform_code=0, **{**HALF_TURN, "quatern": [0.0, 0.0, 1.0000005]})
    want = np.diag([-1.5, -1.2, 3.0, 1.0])
    want[:3, 3] = [-15, 20, -30]
    same(put(tmp_path / "a.nii", content), marked(), want, set())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"quatern": [0.9, 0.9, 0.9]}, "quaternion must have a length"),
        ({"quatern": [math.nan, 0, 0]}, "quaternion .* be finite"),
        ({"pixdim": [1, 0, 1.2, 3, 1, 1, 1, 1]}, "pixdim must be a positive spacing"),
        ({"pixdim": [1, -1.5, 1.2, 3, 1, 1, 1, 1]}, "pixdim must be a positive spacing"),
        ({"pixdim": [1, math.nan, 1.2, 3, 1, 1, 1, 1]}, "pixdim must be a positive spacing"),
        ({"pixdim": [5, *PIXDIM]}, "qfac .* must be 1 or -1"),
        ({"qoffset": [math.inf, 0, 0]}, "qform.*not finite .NaN or Inf"),
    ],
)
def test_p10_a_senseless_qform_is_refused(tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    put(tmp_path / "a.nii", nifti(sform_code=0, **{**STRAIGHT, **fields}))
    refused(tmp_path / "a.nii", says, "geometry")
    # with a good sform it still is, until the user says that the sform holds
    put(tmp_path / "a.nii", nifti(**{**STRAIGHT, **fields}))
    line = refused(tmp_path / "a.nii", says, "geometry")
    assert "--prefer sform" in line
    first = fields.get("pixdim", [1, 1.5])[1]
    mismatch = {"pixdim_mismatch"} if first == 0 or math.isnan(first) else set()
    same(tmp_path / "a.nii", marked(), SFORM, {"sform_qform_mismatch"} | mismatch, prefer="sform")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ([math.nan, 0, 0, -15], "sform.*not finite .NaN or Inf"),
        ([math.inf, 0, 0, -15], "sform.*not finite"),
        ([0, 0, 0, 0], "sform.*singular"),
        ([0, 1.2, 0, -15], "sform.*singular"),
        ([1e30, 0, 0, -15], "sform.*senseless"),
    ],
)
def test_p10_a_senseless_sform_is_refused(tmp_path: Path, row: list[float], says: str) -> None:
    srow = [*row, *SFORM[1:3].ravel()]
    refused(put(tmp_path / "a.nii", nifti(srow=srow)), says, "geometry")
    line = refused(put(tmp_path / "a.nii", nifti(srow=srow, **STRAIGHT)), says, "geometry")
    assert "--prefer qform" in line
    same(tmp_path / "a.nii", marked(), SFORM, {"sform_qform_mismatch"}, prefer="qform")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"qoffset": [-13.9, 20, -30]}, r"a corner is 1\.10 mm"),
        ({"quatern": [0, 0, math.sin(math.radians(0.6))]}, r"an axis 1\.20 degrees apart"),
        ({"pixdim": [-1, *PIXDIM]}, "mirror image .*left and right"),
        ({"pixdim": [1, 3.0, 1.2, 3.0, 1, 1, 1, 1]}, "a corner is 7.50 mm"),
        (HALF_TURN, r"180\.00 degrees apart"),
    ],
)
def test_p10_a_disagreement_is_refused_until_one_is_preferred(
    tmp_path: Path, fields: dict[str, Any], says: str
) -> None:
    path = put(tmp_path / "a.nii", nifti(**{**STRAIGHT, **fields}))
    line = refused(path, says, "geometry")
    assert "sform and qform disagree" in line
    assert "--prefer sform or --prefer qform" in line
    by_sform = {"sform_qform_mismatch"} | ({"pixdim_mismatch"} if fields.get("pixdim", [1, 1.5])[1] == 3.0 else set())
    same(path, marked(), SFORM, by_sform, prefer="sform")
    header = nibabel.load(path).header
    same(path, marked(), header.get_qform(), {"sform_qform_mismatch"}, prefer="qform")


@pytest.mark.parametrize("mm", [2e6, -1e9])
def test_p10_a_scan_miles_away_is_refused(tmp_path: Path, mm: float) -> None:
    far = SFORM.copy()
    far[1, 3] = mm
    refused(put(tmp_path / "a.nii", nifti(srow=far[:3].ravel())), "origin lies over a kilometre away", "geometry")


def test_p10_less_than_a_millimetre_and_a_degree_is_no_disagreement(tmp_path: Path) -> None:
    fields = {**STRAIGHT, "qoffset": [-14.2, 20, -30], "quatern": [0, 0, math.sin(math.radians(0.1))]}
    same(put(tmp_path / "a.nii", nifti(**fields)), marked(), SFORM, set())


def test_p10_prefer_needs_a_code(tmp_path: Path) -> None:
    refused(put(tmp_path / "a.nii", nifti()), "qform was preferred, but it is not coded", prefer="qform")
    refused(put(tmp_path / "a.nii", nifti()), "prefer must be sform or qform", "usage", prefer="both")


def test_p10_without_codes_the_orientation_is_flagged(tmp_path: Path) -> None:
    path = put(tmp_path / "a.nii", nifti(sform_code=0))
    same(path, marked(), nibabel.load(path).affine, {"no_orientation"})
    for bad in (0.0, -1.5, math.nan, math.inf):
        put(path, nifti(sform_code=0, pixdim=[1, bad, 1.2, 3, 1, 1, 1, 1]))
        refused(path, "pixdim must be a positive spacing", "geometry")


@pytest.mark.parametrize("pixdim", [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [-1.5, 1.2, 9.0], [math.nan] * 3])
def test_p10_pixdim_never_rescales_the_sform(tmp_path: Path, pixdim: list[float]) -> None:
    content = nifti(pixdim=[1, *pixdim, 1, 1, 1, 1])
    same(put(tmp_path / "a.nii", content), marked(), SFORM, {"pixdim_mismatch"})


@pytest.mark.parametrize(("unit", "scale"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001), (10, 1.0)])
def test_p10_units_become_millimetres(tmp_path: Path, unit: int, scale: float) -> None:
    # the same place in space, told in another unit; 10 is mm with seconds
    affine = SFORM.copy()
    affine[:3] /= scale
    content = nifti(xyzt_units=unit, srow=affine[:3].ravel(), pixdim=[1, *np.array(PIXDIM) / scale])
    same(put(tmp_path / "a.nii", content), marked(), SFORM, set())
    content = nifti(
        xyzt_units=unit,
        sform_code=0,
        pixdim=[1, *np.array(PIXDIM) / scale],
        **{**STRAIGHT, "qoffset": [-15 / scale, 20 / scale, -30 / scale]},
    )
    same(put(tmp_path / "a.nii", content), marked(), SFORM, set())


@pytest.mark.parametrize("unit", [4, 5, 6, 7])
def test_p10_an_unknown_unit_is_refused(tmp_path: Path, unit: int) -> None:
    refused(put(tmp_path / "a.nii", nifti(xyzt_units=unit)), "unknown unit of length", "geometry")


def test_p10_shear_stays_exact(tmp_path: Path) -> None:
    affine = SFORM.copy()
    affine[0, 2] = 0.8
    pixdim = [1, 1.5, 1.2, float(np.hypot(3, 0.8)), 1, 1, 1, 1]
    same(put(tmp_path / "a.nii", nifti(srow=affine[:3].ravel(), pixdim=pixdim)), marked(), affine, {"sheared"})


@pytest.mark.parametrize("slope", [0.0, math.nan])
def test_p10_a_slope_of_nothing_scales_nothing_and_shifts_nothing(tmp_path: Path, slope: float) -> None:
    same(put(tmp_path / "a.nii", nifti(scl_slope=slope, scl_inter=-1024)), marked(), SFORM, set())


@pytest.mark.parametrize(
    ("slope", "inter"),
    [(2.0, 0.0), (1.0, -1024.0), (-1.0, 10.0), (0.1, 3.5), (1e-12, 0.0), (1e12, 0.0), (1.0, 0.5), (1.0, 1e7)],
)
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_p10_slopes_scale_within_the_promised_error(tmp_path: Path, slope: float, inter: float, kind: str) -> None:
    path = put(tmp_path / "a.nii", nifti(marked(kind=kind), scl_slope=slope, scl_inter=inter))
    want = marked(kind=kind) * float(np.float32(slope)) + float(np.float32(inter))
    found = converted(path)["data"]
    assert np.abs(found - want).max() <= 0.002 * np.ptp(want)


@pytest.mark.parametrize(("slope", "inter"), [(math.inf, 0), (-math.inf, 0), (1.0, math.nan), (2.0, math.inf)])
def test_p10_a_slope_that_is_not_finite_is_refused(tmp_path: Path, slope: float, inter: float) -> None:
    refused(put(tmp_path / "a.nii", nifti(scl_slope=slope, scl_inter=inter)), "scl_slope .* must be finite", "corrupt")
