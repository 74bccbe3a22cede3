"""Views of a sample: every role drawn in order, every draw kept as plain data, every view made from that data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from medssl.views.grid import Box, Grid
from medssl.views.sample import sample
from medssl.views.scan import scan_of
from medssl.views.spatial import apply_spatial, draw_spatial
from medssl.views.view import IDS, Augmentation, MaskPolicy, Role, Scan, View
from medssl.views.warp import Warp
from medssl.volume import spacing_of

Params = Mapping[str, Any]


def make_views(
    store: Store, positions: Sequence[int], roles: Mapping[str, Role], rng: np.random.Generator
) -> dict[str, list[View]]:
    """Draw and make the views of one sample.

    Args:
        store: the store.
        positions: the sample's scans; a role takes its own by ``Role.record``.
        roles: in drawing order: a role's crops may look at the grids of the earlier ones.
        rng: of this sample's slot.

    Returns:
        Role to its views, in the order in which they were drawn.

    Raises:
        RecipeError: a role asks for what its views cannot have.
        InputError: a damaged entry, or no label map where one is asked for.
    """
    drawn: dict[str, Sequence[Grid]] = {}
    scans: dict[str, Scan] = {}
    out: dict[str, list[View]] = {}
    for name, role in roles.items():
        if role.record >= len(positions):
            raise RecipeError(f"asks for scan {role.record} of samples of {len(positions)}", path=name)
        position = positions[role.record]
        scan = replace(scan_of(store, position), others=dict(scans))
        scans[name] = scan
        grids = role.crop.draw(scan, role.count, rng, drawn)
        views = []
        for grid in grids:
            params = _draw(store, position, name, role, grid, rng)
            views.append(_make(store, params, role.augment))
        drawn[name] = [view.grid for view in views]
        out[name] = views
    return out


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
    return _make(store, params, augment)


def _draw(store: Store, position: int, name: str, role: Role, grid: Grid, rng: np.random.Generator) -> dict[str, Any]:
    about = _about(store, position, grid)
    params: dict[str, Any] = {
        "role": name,
        "position": position,
        "record": store.ids(position)["record"],
        "grid": _plain(grid),
        "spatial": draw_spatial(role.spatial, rng),
        "augment": [[_name_of(part), part.draw(rng, about)] for part in role.augment],
        "label": role.label,
    }
    if role.masks is not None:
        masks = role.masks.draws(_cells(name, grid.shape, role.masks), rng, role.draws)
        params["hidden"] = {"shape": list(masks.shape), "bits": np.packbits(masks).tobytes().hex()}
    return params


def _about(store: Store, position: int, grid: Grid) -> About:
    voxels = store.entry(position).voxels
    return About(spacing_of(grid.affine), store.modality(position), voxels.low, voxels.high)


def _make(store: Store, params: Params, augment: Sequence[Augmentation]) -> View:
    position = params["position"]
    grid = apply_spatial(_grid(params["grid"]), params["spatial"])
    image, valid, label = _sampled(store, position, grid, params["label"])
    for part, (_, numbers) in zip(augment, params["augment"], strict=True):
        if numbers:
            image = part.apply(image, numbers)
    if params["augment"] and not bool(valid.all()):
        # padding is no tissue: noise or brightness must not make it look like some
        image = image.masked_fill(~valid, 0.0)
    return View(
        image=image,
        grid=grid,
        valid=valid,
        ids=dict.fromkeys(IDS, -1) | store.ids(position),
        role=params["role"],
        label=label,
        targets=dict(store.row(position).targets),
        hidden=_hidden(params["hidden"]) if "hidden" in params else None,
        params=params,
    )


def _sampled(store: Store, position: int, grid: Grid, label: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """The voxels of a grid; of a study one channel a sequence, each valid where its scan is."""
    scans = store.channels(position)
    if len(scans) == 1 and not store.sequences:
        return sample(store, position, grid, label)
    images, insides = [], []
    for one in scans:
        if one is None:
            images.append(torch.zeros(1, *grid.shape))
            insides.append(torch.zeros(1, *grid.shape, dtype=torch.bool))
            continue
        image, valid, _ = sample(one[0], one[1], grid)
        images.append(image)
        insides.append(valid)
    found = sample(store, position, grid, label)[2] if label else None
    return torch.cat(images), torch.cat(insides), found


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
