"""What a view is, what a method asks for, and how views stand together in a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medssl.store.body_mask import BodyMask
from medssl.store.kept import Kept
from medssl.views.about import PLAIN, About
from medssl.views.elastic import Elastic
from medssl.views.grid import Grid
from medssl.views.warp import Warp

IDS = ("patient", "study", "series", "record", "region", "time", "cluster", "sequence")
"""Names of the ids that travel with a view; -1 stands for "unknown". ``time`` is days since the patient's first scan,
``sequence`` tells one word of the manifest's ``modality`` from another."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What a crop policy may know of a stored scan (no voxels).

    Args:
        shape: stored voxels along i, j and k.
        affine: stored voxel index to RAS millimetres.
        body: ``(2, 3)`` first and one past the last voxel of the body along each axis.
        ids: names of ``IDS`` to integers.
        label_points: class value to ``(n, 3)`` stored voxel indices of that class (a bounded sample).
        modality: ``CT``, ``MR``, … or empty.
        kept: the slices that a reduced manifest keeps, on which crops are then centred; None where all are.
        mask: the body, coarser than its box and closer to it; None where it is not known.
        others: the scans of the roles drawn before, by role, for policies that match one scan to another.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    body: NDArray[np.int64]
    ids: Mapping[str, int]
    label_points: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    modality: str = ""
    kept: Kept | None = None
    mask: BodyMask | None = None
    others: Mapping[str, Scan] = field(default_factory=dict)


@runtime_checkable
class CropPolicy(Protocol):
    """Where the views of a role lie."""

    def draw(self, scan: Scan, count: int, rng: np.random.Generator, drawn: Mapping[str, Sequence[Grid]]) -> list[Grid]:
        """``count`` grids in ``scan``; ``drawn`` holds the grids of the roles that were declared before."""
        ...


class Augmentation(Protocol):
    """A change of a view's values: drawn once per view, applied without further chance."""

    def draw(self, rng: np.random.Generator, about: About = PLAIN) -> dict[str, Any]:
        """Plain numbers (and a ``seed`` where a noise field is needed); ``{}`` leaves the view as it is."""
        ...

    def apply(self, image: Tensor, params: Mapping[str, Any]) -> Tensor:
        """The image ``(C, i, j, k)`` changed by what was drawn; the input stays untouched."""
        ...


class MaskPolicy(Protocol):
    """Which cells of a view are hidden."""

    @property
    def cell(self) -> int:
        """Edge of a cell, in voxels of the view."""
        ...

    def draws(self, cells: tuple[int, int, int], rng: np.random.Generator, count: int) -> NDArray[np.bool_]:
        """True where hidden, ``(count, *cells)``; the same number of hidden cells in every draw."""
        ...


@runtime_checkable
class BatchMasks(MaskPolicy, Protocol):
    """A mask policy that is spread over a batch, so that it asks which of its samples it is for."""

    def at(self, slot: int, slots: int) -> MaskPolicy:
        """The policy of the sample in ``slot`` of a batch of ``slots``, over all processes."""
        ...


class Numbers(Protocol):
    """What a method itself wants drawn for each of its views, beside crop, geometry, values and masks."""

    def draw(self, shape: tuple[int, int, int], rng: np.random.Generator) -> dict[str, Any]:
        """Plain numbers for a view of ``shape``; the method reads them as ``Views.params[…]["numbers"]``."""
        ...


@dataclass(frozen=True)
class Spatial:
    """Geometry drawn for a view on top of its crop.

    Rotation, shear and elastic deformation are of the body in millimetres, so that they are the same whatever the
    voxels' size. Where slices are thick, a rotation out of the slices' plane mixes few and distant ones: keep it
    small there (``rotate_deg=(0, 0, 15)`` turns axial slices in their own plane alone).

    Args:
        flip: chance of a flip along each world axis (x, y, z), whichever view axis runs along it. x is left-right:
            leave it at 0 where laterality matters.
        rotate_deg: largest rotation about each world axis, one number or three (x, y, z).
        scale: smallest and largest zoom about the view's centre.
        stretch: largest further zoom, in or out, of each view axis by itself (i, j, k): ``(1, 1, 1.3)`` changes the
            through-plane scale of axial slices alone.
        shear: largest shear, in millimetres per millimetre.
        quarter_turns: chance of a rotation by a multiple of 90° in the i-j plane (cubic i-j shapes only).
        elastic: smooth deformation, or None.
    """

    flip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotate_deg: float | tuple[float, float, float] = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shear: float = 0.0
    quarter_turns: float = 0.0
    elastic: Elastic | None = None


@dataclass(frozen=True)
class Role:
    """What a method asks of one kind of view.

    Args:
        crop: where the views lie.
        count: views a sample.
        spatial: geometry drawn on top of the crop.
        augment: changes of value, in order.
        masks: which cells are hidden, or None.
        draws: how many masks are drawn for each view.
        label: whether the label map is sampled on the same grid.
        record: which scan of the sample the views come from (a sample may name several: studies, pairs).
        numbers: what the method itself wants drawn for each view, or None.
    """

    crop: CropPolicy
    count: int = 1
    spatial: Spatial = Spatial()
    augment: tuple[Augmentation, ...] = ()
    masks: MaskPolicy | None = None
    draws: int = 1
    label: bool = False
    record: int = 0
    numbers: Numbers | None = None


@dataclass(frozen=True, eq=False)
class View:
    """One view of one scan.

    Args:
        image: ``(C, i, j, k)`` float32, in the store's normalized range.
        grid: where its voxels lie.
        valid: ``(1, i, j, k)`` bool: inside the scan, not padding. Of a study with several sequences
            ``(C, i, j, k)``: nowhere in a missing one.
        ids: names of ``IDS`` to integers.
        role: the name of the role it was drawn for.
        label: ``(1, i, j, k)`` int64, or None; -1 where not ``valid``.
        targets: plain numbers of the record, for example ``{"label": 1.0}``.
        hidden: ``(draws, cells…)`` bool, or None.
        params: what was drawn, so that the view can be made again.
    """

    image: Tensor
    grid: Grid
    valid: Tensor
    ids: Mapping[str, int]
    role: str
    label: Tensor | None = None
    targets: Mapping[str, float] = field(default_factory=dict)
    hidden: Tensor | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Views:
    """The views of one role in a batch, stacked.

    Args:
        image: ``(N, C, i, j, k)`` float32.
        valid: ``(N, 1, i, j, k)`` bool, or ``(N, C, i, j, k)`` where views are of studies.
        affine: ``(N, 4, 4)`` float64, view voxel to millimetres.
        box: ``(N, 15)`` float64, ``Box.to_numbers`` of each.
        owner: ``(N,)`` int64, the sample of the batch that each belongs to. Views stand sample by sample, and
            within a sample in the order in which the crop policy gave them.
        ids: name of ``IDS`` to ``(N,)`` int64.
        label: ``(N, 1, i, j, k)`` int64, or None.
        targets: name to ``(N,)`` float32.
        hidden: ``(draws, N, cells…)`` bool, or None.
        params: what was drawn for each.
        warps: the deformation of each, None where it has none; empty where none has.
    """

    image: Tensor
    valid: Tensor
    affine: Tensor
    box: Tensor
    owner: Tensor
    ids: dict[str, Tensor]
    label: Tensor | None = None
    targets: dict[str, Tensor] = field(default_factory=dict)
    hidden: Tensor | None = None
    params: list[Mapping[str, Any]] = field(default_factory=list)
    warps: list[Warp | None] = field(default_factory=list)

    def __len__(self) -> int:
        return int(self.image.shape[0])

    def to(self, device: torch.device | str) -> Views:
        """A copy on ``device``."""
        return replace(self, **{f.name: _to(getattr(self, f.name), device) for f in fields(self)})

    @property
    def displacement(self) -> Tensor | None:
        """``(N, 3, i, j, k)`` float32 millimetres added after ``affine``, or None where no view is deformed.

        Computed at every call, on the image's device, from the few control points that travel with a batch.
        """
        if not any(self.warps):
            return None
        shape = (3, *self.image.shape[2:])
        fields = [np.zeros(shape, np.float32) if one is None else one.field().astype(np.float32) for one in self.warps]
        return torch.from_numpy(np.stack(fields)).to(self.image.device)

    @property
    def cells_shape(self) -> tuple[int, int, int]:
        """Shape of the grid of cells of ``hidden``."""
        if self.hidden is None:
            raise ValueError("these views have no mask")
        i, j, k = self.hidden.shape[2:]
        return int(i), int(j), int(k)


@dataclass(eq=False)
class Batch:
    """Views by role; ``owner`` tells which sample each belongs to, so that counts may differ.

    Args:
        roles: role name to its views.
        size: samples in the batch (on this process).
        step: the step that the batch was drawn for.
    """

    roles: dict[str, Views]
    size: int
    step: int = 0

    def __getitem__(self, role: str) -> Views:
        return self.roles[role]

    def __contains__(self, role: str) -> bool:
        return role in self.roles

    def to(self, device: torch.device | str) -> Batch:
        """A copy on ``device``."""
        return Batch({name: views.to(device) for name, views in self.roles.items()}, self.size, self.step)


def _to(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {key: _to(item, device) for key, item in value.items()}
    return value
