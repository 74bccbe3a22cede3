"""A matcher by affine registration of every scan to one reference, done once and kept beside the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medssl.errors import InputError
from medssl.store.files import replace_file, seal, unseal
from medssl.store.store import Store
from medssl.views.grid import Array, Grid, apply
from medssl.views.sample import sample
from medssl.views.view import Scan
from medssl.volume import LPS_TO_RAS, spacing_of

Progress = Callable[[int, int, str], None]
FOLDER = "registration"
VERSION = 1
"""Raise it with anything that changes a registration's result."""


class AffineMatcher:
    """Through the reference: millimetres of one scan → of the reference → of the other scan.

    Args:
        to_reference: a record's id (``Scan.ids["record"]``) to its 4×4 map of RAS millimetres to the reference's.
    """

    def __init__(self, to_reference: Mapping[int, Array]) -> None:
        self._to = {record: np.asarray(matrix, dtype=np.float64) for record, matrix in to_reference.items()}

    def place(self, source: Scan, point_mm: Array, target: Scan) -> Array | None:
        """The point that registration takes to the same place of the reference."""
        first, second = (self._to.get(scan.ids.get("record", -1)) for scan in (source, target))
        if first is None or second is None:
            return None
        place: Array = apply(np.linalg.inv(second) @ first, point_mm[None])[0]
        return place


def register(
    store: Store, reference: int = 0, spacing_mm: float = 4.0, progress: Progress | None = None
) -> AffineMatcher:
    """Register every scan of a store to one of them.

    Scans are sampled to a coarse isotropic grid and registered with SimpleITK: centres of mass first, then a rigid
    and an affine map, by mutual information over a pyramid of resolutions. Every result is kept in the store's
    folder, so that it is computed once.

    Args:
        store: the store.
        reference: position of the scan that the others are brought to.
        spacing_mm: edge of the coarse voxels.
        progress: told after every scan.

    Raises:
        InputError: a scan cannot be registered (``geometry``).
    """
    fixed = _coarse(store, reference, spacing_mm)
    found: dict[int, Array] = {}
    for position in range(len(store)):
        kept = _file(store, position, reference, spacing_mm)
        matrix = _kept(kept)
        if matrix is None:
            if position == reference:
                matrix = np.eye(4)
            else:
                matrix = _register(fixed, _coarse(store, position, spacing_mm), store.name(position))
            kept.parent.mkdir(exist_ok=True)
            replace_file(kept, seal({"version": VERSION, "matrix": matrix.tolist()}))
        found[int(store.ids(position)["record"])] = matrix
        if progress is not None:
            progress(position + 1, len(store), "registering scans")
    return AffineMatcher(found)


def _file(store: Store, position: int, reference: int, spacing_mm: float) -> Path:
    keys = "-".join(store.row(number).key[:16] for number in (reference, position))
    return store.path / FOLDER / f"{keys}-{spacing_mm:g}.json"


def _kept(path: Path) -> Array | None:
    data = unseal(path.read_bytes()) if path.is_file() else None
    if data is None or data.get("version") != VERSION:
        return None
    return np.asarray(data["matrix"], dtype=np.float64)


def _coarse(store: Store, position: int, spacing_mm: float) -> Any:
    """A scan on a coarse grid, as SimpleITK's image (index order k, j, i; LPS millimetres)."""
    import SimpleITK as sitk  # noqa: N813

    voxels = store.entry(position).voxels
    step = spacing_mm / np.asarray(spacing_of(voxels.affine))
    i, j, k = (max(4, int(np.ceil(n / s))) for n, s in zip(voxels.shape[1:], step, strict=True))
    inner = np.diag([*step, 1.0])
    inner[:3, 3] = step / 2 - 0.5
    grid = Grid.of((i, j, k), voxels.affine @ inner)
    image, _, _ = sample(store, position, grid)
    out = sitk.GetImageFromArray(image[0].numpy().transpose(2, 1, 0).astype(np.float32))
    lps = LPS_TO_RAS @ grid.affine
    spacing = np.asarray(spacing_of(grid.affine))
    out.SetSpacing(spacing.tolist())
    out.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    out.SetOrigin(lps[:3, 3].tolist())
    return out


def _register(fixed: Any, moving: Any, name: str) -> Array:
    """Moving RAS millimetres → fixed RAS millimetres."""
    import SimpleITK as sitk  # noqa: N813

    try:
        moments = sitk.CenteredTransformInitializerFilter.MOMENTS
        start = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), moments)
        rigid = sitk.Euler3DTransform(_optimised(fixed, moving, start).GetNthTransform(0))
        affine = sitk.AffineTransform(3)
        affine.SetMatrix(rigid.GetMatrix())
        affine.SetTranslation(rigid.GetTranslation())
        affine.SetCenter(rigid.GetCenter())
        result = sitk.AffineTransform(_optimised(fixed, moving, affine).GetNthTransform(0))
    except RuntimeError as error:
        raise InputError("cannot be registered to the reference", path=name, code="geometry") from error
    # SimpleITK maps points of the fixed image to the moving one
    into = np.eye(4)
    matrix: NDArray[np.float64] = np.asarray(result.GetMatrix()).reshape(3, 3)
    centre, shift = np.asarray(result.GetCenter()), np.asarray(result.GetTranslation())
    into[:3, :3] = matrix
    into[:3, 3] = centre + shift - matrix @ centre
    if abs(np.linalg.det(matrix)) < 0.1:
        raise InputError("registration shrank the scan to nothing", path=name, code="geometry")
    # threads add in any order: what they change lies far behind the digits that mean something
    out: Array = np.round(LPS_TO_RAS @ np.linalg.inv(into) @ LPS_TO_RAS, 6)
    return out


def _optimised(fixed: Any, moving: Any, start: Any) -> Any:
    import SimpleITK as sitk  # noqa: N813

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    # every voxel of so coarse a grid is used: chance would make the result differ from run to run
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100, gradientMagnitudeTolerance=1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1.0, 0.0])
    method.SetInitialTransform(start, inPlace=False)
    method.SetNumberOfThreads(1)
    out = method.Execute(fixed, moving)
    return out if out.GetName() == "CompositeTransform" else sitk.CompositeTransform([out])
