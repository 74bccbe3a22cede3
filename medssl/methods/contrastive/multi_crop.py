"""Multi-crop: two large views of a scan and several small ones of half the size (SwAV, arXiv 2006.09882, section 3.2).

The large views are the roles ``view`` and ``partner``, so that each may have augmentations of its own; the small ones
are ``local``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from medssl.encoders.contract import Encoder
from medssl.encoders.inputs import check_statistics
from medssl.errors import RecipeError, UsageError
from medssl.methods.contract import ViewSettings
from medssl.methods.roles import PAIR, augmentations, two_views
from medssl.views.crops.anisotropic import Anisotropic
from medssl.views.crops.overlapping import Overlapping
from medssl.views.masks.masked_half import MaskedHalf
from medssl.views.view import Batch, CropPolicy, Role

SMALL = "local"
"""The role of the small views."""

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class Crops:
    """Where the views of a scan lie (``crops:`` of a method).

    Args:
        locals: small views a scan, of half the crop's size along each axis; 0 for none.
        policy: ``anisotropic`` draws shares of the body's in-plane area and through-plane length, as 3DINO does;
            ``overlapping`` crops at the voxel size of ``views.scale``, every further view around the first.
        overlap: of ``overlapping``: how much of a view the first one shares along each axis, at least.
        area: of ``anisotropic``: share of the in-plane area that a large view covers, smallest and largest.
        length: the same of the through-plane length.
        local_area: as ``area``, of small views.
        local_length: as ``length``, of small views.
    """

    locals: Annotated[int, Field(ge=0)] = 8
    policy: Literal["anisotropic", "overlapping"] = "anisotropic"
    overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    area: tuple[Share, Share] = (0.48, 1.0)
    length: tuple[Share, Share] = (0.5, 1.0)
    local_area: tuple[Share, Share] = (0.16, 0.48)
    local_length: tuple[Share, Share] = (0.2, 0.5)

    def __post_init__(self) -> None:
        for name in ("area", "length", "local_area", "local_length"):
            low, high = getattr(self, name)
            if low > high:
                raise RecipeError(f"expected two rising shares, got {[low, high]}", path=name)


CROPS = Crops()
"""What a method takes where a recipe says nothing: eight small views, and the shares of 3DINO."""


def multi_crop(settings: ViewSettings, crops: Crops, encoder: Encoder) -> dict[str, Role]:
    """The roles ``view``, ``partner`` and, where there are any, ``local``.

    Args:
        settings: what the recipe says.
        crops: where the views lie.
        encoder: that must take both sizes.

    Raises:
        RecipeError: the encoder cannot take small views of this size; or a zoom is asked for beside shares of the
            body, which say how large a view is.
    """
    i, j, k = (max(1, edge // 2) for edge in settings.crop)
    _check_size(encoder, settings.crop, "a view")
    if crops.policy == "overlapping":
        roles, small = two_views(settings, crops.overlap), _beside((i, j, k), crops, settings)
    else:
        if settings.scale != (1.0, 1.0):
            raise RecipeError(
                f"expected [1.0, 1.0] beside anisotropic crops, which say themselves how much a view covers, got"
                f" {list(settings.scale)}",
                path="views.scale",
                hint="leave it out, or set method.crops.policy=overlapping",
            )
        large = Anisotropic(settings.crop, crops.area, length=crops.length)
        small = Anisotropic((i, j, k), crops.local_area, length=crops.local_length)
        one = Role(large, spatial=settings.spatial, augment=augmentations(settings))
        roles = dict.fromkeys(PAIR, one)
    if crops.locals:
        _check_size(encoder, (i, j, k), "a local view, half of views.crop,")
        roles = {**roles, SMALL: dataclasses.replace(roles["view"], crop=small, count=crops.locals)}
    return roles


def masked_pair(roles: Mapping[str, Role], ratio: tuple[float, float], cell: int) -> dict[str, Role]:
    """The two large views with masks: one of each pair is masked, the other whole.

    Args:
        roles: as ``multi_crop`` gives them.
        ratio: smallest and largest share of cells that are hidden, stratified over the batch.
        cell: edge of a cell in voxels; divides the crop.
    """
    return {
        role: dataclasses.replace(roles[role], masks=MaskedHalf(ratio, cell, turn)) for turn, role in enumerate(PAIR)
    }


def present(batch: Batch) -> tuple[str, ...]:
    """The roles that a batch has, large views first."""
    return tuple(role for role in (*PAIR, SMALL) if role in batch)


def by_sample(rows: Tensor, owner: Tensor, samples: int) -> list[Tensor]:
    """Rows of a role as one tensor for each of a sample's views, in the order of samples.

    Args:
        rows: ``(n, …)``, as many for every sample.
        owner: ``(n,)`` the sample of each.
        samples: how many there are.

    Returns:
        n / samples tensors ``(samples, …)``.

    Raises:
        UsageError: samples differ in their number of views.

    Example:
        >>> rows = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
        >>> [one.flatten().tolist() for one in by_sample(rows, torch.tensor([1, 0, 1, 0]), 2)]
        [[2.0, 1.0], [4.0, 3.0]]
    """
    order = torch.argsort(owner, stable=True)
    each = len(rows) // samples if samples else 0
    if not torch.equal(owner[order], torch.arange(samples, device=owner.device).repeat_interleave(each)):
        raise UsageError(f"expected as many views of each of {samples} samples, got {len(rows)} in all", code="batch")
    return list(rows[order].reshape(samples, each, *rows.shape[1:]).unbind(1)) if each else []


def _beside(shape: tuple[int, int, int], crops: Crops, settings: ViewSettings) -> CropPolicy:
    return Overlapping("view", shape, crops.overlap, settings.scale)


def _check_size(encoder: Encoder, shape: tuple[int, int, int], what: str) -> None:
    """Refuse, before anything is trained, a size that the encoder would refuse in its first forward."""
    patch = encoder.strides[0]
    if encoder.masking == "drop" and any(edge % step for edge, step in zip(shape, patch, strict=False)):
        reason = f"{what} of {shape} voxels must be a multiple of the encoder's patch {patch}"
        raise RecipeError(reason, path="views.crop", code="encoder", hint="choose another crop or encoder.patch")
    norm = getattr(encoder, "norm", None)
    if isinstance(norm, str):
        try:
            # only the shape is looked at
            check_statistics(encoder, torch.empty((2, 1, *shape), device="meta"), norm)
        except UsageError as error:
            raise RecipeError(f"{what}: {error.reason}", path="views.crop", code="encoder", hint=error.hint) from error
