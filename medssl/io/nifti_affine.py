"""Which of a NIfTI header's two maps to millimetres holds, and what to do when they disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, UsageError
from medssl.volume import check_affine, spacing_of

MAX_SHIFT_MM = 1.0
MAX_TURN_DEGREES = 1.0
_UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""xyzt_units, low three bits → millimetres (0 is unknown and taken as mm)."""

Affine = NDArray[np.float64]


def choose_affine(
    header: Any, shape: tuple[int, ...], path: Path, prefer: str | None
) -> tuple[Affine, tuple[str, ...]]:
    """The affine to RAS millimetres and its flags.

    The sform holds where it is coded, else the qform. Two coded maps that place a corner more than 1 mm apart,
    or turn by more than 1 degree, or differ in handedness, are refused unless ``prefer`` says which holds.

    Raises:
        InputError: ``geometry``.
    """
    if prefer not in (None, "sform", "qform"):
        raise UsageError(f"prefer must be sform or qform, got {prefer}", path=path)
    scale = _UNITS.get(int(header["xyzt_units"]) & 7)
    if scale is None:
        raise InputError(f"unknown unit of length, code {int(header['xyzt_units']) & 7}", path=path, code="geometry")
    maps = _coded_maps(header, scale, path)
    if prefer is not None and prefer not in maps:
        raise InputError(f"{prefer} was preferred, but it is not coded", path=path, code="geometry")
    if not maps:
        return _uncoded(header, scale, path), ("no_orientation",)
    flags: tuple[str, ...] = ()
    if len(maps) == 2:
        problem = disagreement(maps["sform"], maps["qform"], shape)
        if problem and prefer is None:
            raise InputError(
                f"sform and qform disagree: {problem}",
                path=path,
                code="geometry",
                hint="say which holds with prefer=sform or prefer=qform",
            )
        flags = ("sform_qform_mismatch",) if problem else ()
    chosen = maps[prefer or ("sform" if "sform" in maps else "qform")]
    if is_sheared(chosen):
        flags = (*flags, "sheared")
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)) * scale
    if not np.allclose(spacing_of(chosen), pixdim, rtol=0.01, atol=1e-6):
        flags = (*flags, "pixdim_mismatch")
    return chosen, flags


def _coded_maps(header: Any, scale: float, path: Path) -> dict[str, Affine]:
    from nibabel.spatialimages import HeaderDataError

    maps: dict[str, Affine] = {}
    try:
        if int(header["sform_code"]) > 0:
            maps["sform"] = _to_mm(header.get_sform(), scale)
        if int(header["qform_code"]) > 0:
            maps["qform"] = _to_mm(header.get_qform(), scale)
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError("the qform is not a rotation with spacing", path=path, code="geometry") from error
    for name, affine in maps.items():
        _check(affine, name, path)
    return maps


def _check(affine: Affine, name: str, path: Path) -> None:
    try:
        check_affine(affine)
    except InputError as error:
        raise InputError(f"{name}: {error.reason}", path=path, code="geometry") from error
    if min(spacing_of(affine)) < 1e-6:
        raise InputError(f"{name}: a voxel has no size", path=path, code="geometry")


def _uncoded(header: Any, scale: float, path: Path) -> Affine:
    spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(spacing).all() or (spacing == 0).any():
        raise InputError(f"pixdim {spacing.tolist()} is not a spacing", path=path, code="geometry")
    affine = _to_mm(np.asarray(header.get_base_affine(), dtype=np.float64), scale)
    _check(affine, "pixdim", path)
    return affine


def _to_mm(affine: Affine, scale: float) -> Affine:
    out = np.array(affine, dtype=np.float64)
    out[:3] *= scale
    return out


def disagreement(a: Affine, b: Affine, shape: tuple[int, ...]) -> str | None:
    """What is wrong between two affines of one volume, in words, or None.

    Example:
        >>> disagreement(np.eye(4), np.diag([-1.0, 1.0, 1.0, 1.0]), (2, 2, 2))
        'one is the mirror image of the other (left and right)'
    """
    if np.linalg.det(a[:3, :3]) * np.linalg.det(b[:3, :3]) < 0:
        return "one is the mirror image of the other (left and right)"
    corners = np.array([[i, j, k, 1] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)])
    shift = float(np.linalg.norm(corners @ (a - b)[:3].T, axis=1).max())
    cosines = ((a[:3, :3] / spacing_of(a)) * (b[:3, :3] / spacing_of(b))).sum(axis=0)
    turn = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
    if shift > MAX_SHIFT_MM or turn > MAX_TURN_DEGREES:
        return f"a corner is {shift:.2f} mm and an axis {turn:.2f} degrees apart"
    return None


def is_sheared(affine: Affine) -> bool:
    """Whether two voxel axes are not perpendicular, beyond rounding.

    Example:
        >>> is_sheared(np.eye(4))
        False
    """
    unit = affine[:3, :3] / np.asarray(spacing_of(affine))
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() > 1e-3)
