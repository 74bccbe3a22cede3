"""Views of a sample: every role drawn in order, every draw kept as plain data, every view made from that data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssl.errors import RecipeError, UsageError
from medssl.recipe import load_class
from medssl.store.store import Store
from medssl.views.about import About
from medssl.views.augment import AUGMENTATIONS
from medssl.views.crops.slices import Slices
from medssl.views.grid import Box, Grid
from medssl.views.sample import Place, Sampled, sample
from medssl.views.scan import scan_of
from medssl.views.spatial import apply_spatial, draw_spatial
from medssl.views.view import IDS, Augmentation, BatchMasks, MaskPolicy, Role, Scan, View
from medssl.views.warp import Warp
from medssl.volume import spacing_of

Params = Mapping[str, Any]
Values = list[list[Any]]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A view before any voxel is read.

    Args:
        params: what was drawn, ``View.params``.
        grid: where its voxels will lie.
        augment: what will change its values.
    """

    params: dict[str, Any]
    grid: Grid
    augment: Sequence[Augmentation]


def draw_views(
    store: Store,
    positions: Sequence[int],
    roles: Mapping[str, Role],
    rng: np.random.Generator,
    slot: tuple[int, int] | None = None,
) -> dict[str, list[Drawn]]:
    """Draw the views of one sample; see ``make_views``."""
    grids: dict[str, Sequence[Grid]] = {}
    scans: dict[str, Scan] = {}
    out: dict[str, list[Drawn]] = {}
    for name, role in roles.items():
        if slot is not None and isinstance(role.masks, BatchMasks):
            role = replace(role, masks=role.masks.at(*slot))  # noqa: PLW2901
        if role.record >= len(positions):
            raise RecipeError(f"asks for scan {role.record} of samples of {len(positions)}", path=name)
        position = positions[role.record]
        scan = scan_of(store, position)
        if scans:
            scan = replace(scan, others=dict(scans))
        scans[name] = scan
        crops = role.crop.draw(scan, role.count, rng, grids)
        shared: dict[int, Values] = {}
        out[name] = [_draw(store, position, name, role, crop, rng, shared) for crop in crops]
        grids[name] = [view.grid for view in out[name]]
    return out


def make_views(
    store: Store,
    positions: Sequence[int],
    roles: Mapping[str, Role],
    rng: np.random.Generator,
    slot: tuple[int, int] | None = None,
) -> dict[str, list[View]]:
    """Draw and make the views of one sample.

    Args:
        store: the store.
        positions: the sample's scans; a role takes its own by ``Role.record``.
        roles: in drawing order: a role's crops may look at the grids of the earlier ones.
        rng: of this sample's slot.
        slot: which sample of how many it is in its batch, for masks that are spread over one; None by itself.

    Returns:
        Role to its views, in the order in which they were drawn.

    Raises:
        RecipeError: a role asks for what its views cannot have.
        InputError: a damaged entry, or no label map where one is asked for.
    """
    drawn = draw_views(store, positions, roles, rng, slot)
    return {name: [make_view(store, view) for view in views] for name, views in drawn.items()}


def make_view(store: Store, drawn: Drawn, into: Place | None = None, augmented: bool = True) -> View:
    """A drawn view, made.

    Args:
        store: the store.
        drawn: the view.
        into: where its image and valid shall lie, of their shapes; new memory by default.
        augmented: False leaves the values as they were sampled, for ``augment_batch`` to change them later.

    Raises:
        InputError: a damaged entry, or no label map where one is asked for.
    """
    return _make(store, drawn.params, drawn.grid, drawn.augment if augmented else None, into)


def replay(store: Store, params: Params, augment: Sequence[Augmentation] | None = None) -> View:
    """A view made again, bit for bit, from ``View.params`` (also after a round trip through JSON).

    Args:
        store: the store that the view was made from.
        params: what was drawn.
        augment: the role's augmentations, where they are not registered ones.

    Raises:
        UsageError: another scan stands at the view's position, or an augmentation is not registered.
    """
    if augment is None:
        augment = [_registered(name) for name, _ in params["augment"]]
    if store.ids(params["position"])["record"] != params["record"]:
        raise UsageError(f"the view was made from another scan than the store's number {params['position']}")
    return _make(store, params, apply_spatial(_grid(params["grid"]), params["spatial"]), augment)


def _draw(
    store: Store,
    position: int,
    name: str,
    role: Role,
    crop: Grid,
    rng: np.random.Generator,
    shared: dict[int, Values],
) -> Drawn:
    spatial = draw_spatial(role.spatial, rng)
    grid = apply_spatial(crop, spatial)
    params: dict[str, Any] = {
        "role": name,
        "position": position,
        "record": store.ids(position)["record"],
        "grid": _plain(crop),
        "spatial": spatial,
        # a quarter turn or a stretch changes which axis of the view is which
        "augment": _values(role, _about(store, position, grid), rng, shared),
        "label": role.label,
    }
    if role.masks is not None:
        masks = role.masks.draws(_cells(name, grid.shape, role.masks), rng, role.draws)
        params["hidden"] = {"shape": list(masks.shape), "bits": np.packbits(masks).tobytes().hex()}
    if role.numbers is not None:
        params["numbers"] = role.numbers.draw(grid.shape, rng)
    return Drawn(params, grid, role.augment)


def _values(role: Role, about: About, rng: np.random.Generator, shared: dict[int, Values]) -> Values:
    """What changes a view's values; slices of a scan share it and differ in their noise alone."""
    if not (isinstance(role.crop, Slices) and role.crop.alike):
        return [[_name_of(part), part.draw(rng, about)] for part in role.augment]
    # numbers that belong to an axis fit those slices alone that stand alike
    earlier = shared.get(about.through)
    if earlier is None:
        shared[about.through] = [[_name_of(part), part.draw(rng, about)] for part in role.augment]
        return shared[about.through]
    seeds = [int(rng.integers(2**62)) for _ in earlier]
    return [
        [name, {**numbers, "seed": seed} if "seed" in numbers else numbers]
        for (name, numbers), seed in zip(earlier, seeds, strict=True)
    ]


def _about(store: Store, position: int, grid: Grid) -> About:
    voxels = store.entry(position).voxels
    return About(spacing_of(grid.affine), store.modality(position), voxels.low, voxels.high)


def _make(
    store: Store, params: Params, grid: Grid, augment: Sequence[Augmentation] | None, into: Place | None = None
) -> View:
    position = params["position"]
    sampled, valid, label = _sampled(store, position, grid, params["label"], into)
    image = sampled
    for part, (_, numbers) in () if augment is None else zip(augment, params["augment"], strict=True):
        if numbers:
            image = part.apply(image, numbers)
    if params["augment"] and augment is not None and not bool(valid.all()):
        # padding is no tissue: noise or brightness must not make it look like some
        image = image.masked_fill(~valid, 0.0)
    return View(
        image=image if into is None or image is sampled else sampled.copy_(image),
        grid=grid,
        valid=valid,
        ids=dict.fromkeys(IDS, -1) | store.ids(position),
        role=params["role"],
        label=label,
        targets=dict(store.row(position).targets),
        hidden=_hidden(params["hidden"]) if "hidden" in params else None,
        params=params,
    )


def channels_of(store: Store, position: int) -> tuple[int, int]:
    """Channels of the image and of ``valid`` of a place's views."""
    if store.sequences:
        return len(store.sequences), len(store.sequences)
    return store.entry(position).voxels.shape[0], 1


def _sampled(store: Store, position: int, grid: Grid, label: bool, into: Place | None) -> Sampled:
    """The voxels of a grid; of a study one channel a sequence, each valid where its scan is."""
    if not store.sequences:
        return sample(store, position, grid, label, into)
    scans = store.channels(position)
    shape = (len(scans), *grid.shape)
    image, valid = (torch.empty(shape), torch.empty(shape, dtype=torch.bool)) if into is None else into
    for number, one in enumerate(scans):
        place = (image[number : number + 1], valid[number : number + 1])
        if one is None:
            image[number], valid[number] = 0.0, False
        else:
            sample(one[0], one[1], grid, into=place)
    return image, valid, sample(store, position, grid, label)[2] if label else None


def _cells(name: str, shape: tuple[int, int, int], masks: MaskPolicy) -> tuple[int, int, int]:
    if any(n % masks.cell for n in shape):
        raise RecipeError(f"cells of {masks.cell} voxels must divide views of {shape}", path=name)
    i, j, k = (n // masks.cell for n in shape)
    return i, j, k


def _hidden(packed: Mapping[str, Any]) -> Tensor:
    shape = tuple(packed["shape"])
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(packed["bits"]), dtype=np.uint8), count=int(np.prod(shape)))
    return torch.from_numpy(bits.astype(np.bool_).reshape(shape))


def _plain(grid: Grid) -> dict[str, Any]:
    out = {
        "shape": [int(n) for n in grid.shape],
        "affine": grid.affine.tolist(),
        "box": {"shape": [int(n) for n in grid.box.shape], "affine": grid.box.affine.tolist()},
    }
    return out if grid.warp is None else {**out, "warp": grid.warp.to_plain()}


def _grid(data: Mapping[str, Any]) -> Grid:
    (i, j, k), (bi, bj, bk) = data["shape"], data["box"]["shape"]
    box = Box(np.asarray(data["box"]["affine"], dtype=np.float64), (bi, bj, bk))
    warp = Warp.from_plain(data["warp"], (i, j, k)) if "warp" in data else None
    return Grid((i, j, k), np.asarray(data["affine"], dtype=np.float64), box, warp)


def _name_of(part: Augmentation) -> str:
    spec = f"{type(part).__module__}:{type(part).__qualname__}"
    return next((name for name, target in AUGMENTATIONS.items() if target == spec), spec)


@lru_cache(maxsize=64)
def _registered(name: str) -> Augmentation:
    # params are data: they choose among what is registered and never load anything else
    if name not in AUGMENTATIONS:
        raise UsageError(f"no augmentation is registered as {name!r}: pass the role's own")
    part: Augmentation = load_class(AUGMENTATIONS[name])()
    return part
