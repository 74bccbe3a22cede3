"""Which of a NIfTI header's two maps to millimetres holds, and what to do when they disagree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError, UsageError
from medssl.io.formats.nifti_header import NiftiHeader
from medssl.volume import spacing_of

MAX_SHIFT_MM = 1.0
MAX_TURN_DEGREES = 1.0
_UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""xyzt_units, low three bits → millimetres (0 is unknown and taken as mm)."""

_QUATERNION_TOLERANCE = 1e-3
MIN_VOXEL_MM, MAX_VOXEL_MM = 1e-4, 1e4
_CHOOSE = "say which holds with --prefer sform or --prefer qform"

Affine = NDArray[np.float64]


def choose_affine(
    header: NiftiHeader, shape: tuple[int, ...], path: Path, prefer: str | None
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
    maps, broken = _coded_maps(header, scale, path, prefer)
    if prefer is not None and prefer not in maps:
        raise InputError(f"{prefer} was preferred, but it is not coded", path=path, code="geometry")
    if not maps:
        return _uncoded(header, scale, path), ("no_orientation",)
    flags: tuple[str, ...] = ("sform_qform_mismatch",) if broken else ()
    if len(maps) == 2:
        problem = disagreement(maps["sform"], maps["qform"], shape)
        if problem and prefer is None:
            raise InputError(
                f"sform and qform disagree: {problem}",
                path=path,
                code="geometry",
                hint=_CHOOSE,
            )
        flags = ("sform_qform_mismatch",) if problem else ()
    chosen = maps[prefer or ("sform" if "sform" in maps else "qform")]
    if is_sheared(chosen):
        flags = (*flags, "sheared")
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)) * scale
    if not np.allclose(spacing_of(chosen), pixdim, rtol=0.01, atol=1e-6):
        flags = (*flags, "pixdim_mismatch")
    return chosen, flags


def _coded_maps(header: NiftiHeader, scale: float, path: Path, prefer: str | None) -> tuple[dict[str, Affine], bool]:
    """The maps that have a code, and whether the one that was not preferred is senseless."""
    maps: dict[str, Affine] = {}
    broken = False
    for name, build in (("sform", _sform), ("qform", _qform)):
        code = int(header[f"{name}_code"])
        if code < 0:
            raise InputError(f"corrupt header: {name}_code is {code}, expected 0 or more", path=path, code="corrupt")
        if code == 0:
            continue
        try:
            maps[name] = _checked(_to_mm(build(header), scale), name)
        except InputError as error:
            if prefer not in (None, name):
                broken = True
                continue
            other = "qform" if name == "sform" else "sform"
            hint = _CHOOSE if int(header[f"{other}_code"]) > 0 else None
            raise InputError(f"{name}: {error.reason}", path=path, code="geometry", hint=hint) from error
    return maps, broken


def _sform(header: NiftiHeader) -> Affine:
    rows = [np.asarray(header[name], dtype=np.float64) for name in ("srow_x", "srow_y", "srow_z")]
    return np.vstack([*rows, [0.0, 0.0, 0.0, 1.0]])


def _qform(header: NiftiHeader) -> Affine:
    """The rotation of the header's quaternion, with its spacing and handedness.

    Raises:
        InputError: the quaternion, the spacing or qfac makes no sense.
    """
    vector = np.array([float(header[f"quatern_{letter}"]) for letter in "bcd"])
    square = float(vector @ vector)
    # what is over 1 by rounding is a half turn
    if not np.isfinite(square) or square > 1 + _QUATERNION_TOLERANCE:
        raise InputError(f"the quaternion must have a length of at most 1 and be finite, got {np.sqrt(square):.4g}")
    pixdim = np.asarray(header["pixdim"][:4], dtype=np.float64)
    if not np.isfinite(pixdim[1:]).all() or min(pixdim[1:]) <= 0:
        raise InputError(f"pixdim must be a positive spacing, got {pixdim[1:].tolist()}")
    # 0 is what writers leave that do not know of qfac, and the standard counts it as 1
    if pixdim[0] not in (-1, 0, 1):
        raise InputError(f"qfac (pixdim[0]) must be 1 or -1, got {pixdim[0]:g}")
    real = np.sqrt(max(0.0, 1 - square))
    w, x, y, z = np.array([real, *vector]) / np.sqrt(real**2 + square)
    out = np.eye(4)
    out[:3, :3] = [
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w + y * y - x * x - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w + z * z - x * x - y * y],
    ]
    out[:3, :3] *= pixdim[1:] * [1, 1, -1 if pixdim[0] < 0 else 1]
    out[:3, 3] = [float(header[f"qoffset_{letter}"]) for letter in "xyz"]
    return out


def _checked(affine: Affine, name: str) -> Affine:
    if not np.isfinite(affine).all():
        raise InputError(f"the affine of the {name} has numbers that are not finite (NaN or Inf)")
    sizes = spacing_of(affine)
    if min(sizes) < MIN_VOXEL_MM or max(sizes) > MAX_VOXEL_MM:
        what = "singular: it cannot be inverted, its" if min(sizes) < MIN_VOXEL_MM else "senseless: its"
        raise InputError(f"the affine is {what} voxel size is {' × '.join(f'{n:.3g}' for n in sizes)} mm")
    # the columns' directions alone: a small voxel is not a flat one
    if abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-6:
        raise InputError("the affine is singular: it cannot be inverted, its axes lie in one plane")
    return affine


def _uncoded(header: NiftiHeader, scale: float, path: Path) -> Affine:
    spacing = np.asarray(header["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise InputError(
            f"pixdim must be a positive spacing, got {spacing.tolist()}, and neither sform nor qform is coded",
            path=path,
            code="geometry",
        )
    # as nibabel has it: the first axis runs to the left, and the origin is in the middle of the volume
    steps = spacing * [-1.0, 1.0, 1.0]
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.asarray(header["dim"][1:4], dtype=np.float64) - 1) / 2
    affine = _to_mm(affine, scale)
    return _checked(affine, "pixdim")


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
