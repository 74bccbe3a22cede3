"""Every registered method with its smallest settings, on hand-made batches of 16³ views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from medssl.draws import generator
from medssl.encoders.build import build_encoder
from medssl.methods import METHODS
from medssl.methods.contract import Context, Method
from medssl.recipe import load_class
from medssl.views.grid import Box
from medssl.views.view import Batch, Views

SIDE = 16

ENCODERS: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 10, "width": 8, "norm": "group", "stem_stride": 1},
    "resenc": {"widths": (8, 16, 16), "blocks": (1, 1, 1), "strides": (1, 2, 2), "norm": "group"},
    "vit": {"patch": 4, "width": 24, "depth": 1, "heads": 2},
    "swin": {"width": 12, "window": 2, "depths": (1, 1, 1, 1), "heads": (1, 1, 1, 1)},
}

SETTINGS: dict[str, dict[str, Any]] = {
    "simclr": {"hidden": 32, "outputs": 16, "temperature": 0.5, "norm": "layer"},
    "spark": {"cell": 8, "decoder_width": 16},
    "mae": {"decoder_width": 24, "decoder_heads": 2, "decoder_depth": 1},
    "voco": {"grid": (2, 2, 1), "width": 32, "norm": "layer"},
}

CARRIES = {
    "simclr": ("resnet", "resenc", "vit", "swin"),
    "spark": ("resnet", "resenc"),
    "mae": ("vit",),
    "voco": ("resnet", "resenc", "vit", "swin"),
}

PAIRS = [(method, encoder) for method in METHODS for encoder in CARRIES[method]]


def build(method: str, encoder: str, seed: int = 0, **settings: Any) -> Method:
    """A method with fresh weights."""
    torch.manual_seed(seed)
    network = build_encoder(encoder, 1, **ENCODERS[encoder])
    made: Method = load_class(METHODS[method])(network, **{**SETTINGS[method], **settings})
    return made


def context(**values: Any) -> Context:
    return Context(total_steps=10, **values)


def scan(seed: int, shape: tuple[int, ...] = (2 * SIDE, 2 * SIDE, SIDE)) -> torch.Tensor:
    """A smooth random volume ``(1, i, j, k)`` with a gradient, so that places can be told apart."""
    noise = torch.randn(1, 1, 5, 5, 5, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, shape, mode="trilinear", align_corners=True)[0]
    return smooth + torch.linspace(-2, 2, shape[0])[None, :, None, None]


def make_views(
    crops: list[tuple[int, tuple[int, int, int]]], patients: list[int], hidden: torch.Tensor | None = None
) -> Views:
    """Views of the scans of ``owner``, each cut out at an origin."""
    images, boxes = [], []
    for owner, (i, j, k) in crops:
        images.append(scan(owner)[:, i : i + SIDE, j : j + SIDE, k : k + SIDE])
        affine = np.eye(4)
        affine[:3, 3] = (i, j, k)
        boxes.append(Box(affine, (SIDE,) * 3).to_numbers())
    owner = torch.tensor([o for o, _ in crops])
    return Views(
        image=torch.stack(images),
        valid=torch.ones(len(crops), 1, *[SIDE] * 3, dtype=torch.bool),
        affine=torch.eye(4, dtype=torch.float64).repeat(len(crops), 1, 1),
        box=torch.from_numpy(np.stack(boxes)),
        owner=owner,
        ids={"patient": torch.tensor(patients)[owner]},
        hidden=hidden,
    )


def batch_for(method: Method, name: str, size: int = 4) -> Batch:
    """A batch of ``size`` patients for a method."""
    rng = generator(0)
    patients = [100 + n for n in range(size)]
    if name == "voco":
        cells = [(o, (SIDE * i, SIDE * j, 0)) for o in range(size) for i in range(2) for j in range(2)]
        places = [(o, (*rng.integers(SIDE + 1, size=2).tolist(), 0)) for o in range(size) for _ in range(2)]
        return Batch({"base": make_views(cells, patients), "query": make_views(places, patients)}, size)
    if name == "simclr":
        first, second = ([(o, (*rng.integers(SIDE + 1, size=2).tolist(), 0)) for o in range(size)] for _ in range(2))
        return Batch({"view": make_views(first, patients), "partner": make_views(second, patients)}, size)
    places = [(o, (*rng.integers(SIDE + 1, size=2).tolist(), 0)) for o in range(size)]
    side = SIDE // method.cell  # type: ignore[operator]
    hidden = torch.zeros(1, len(places), side**3, dtype=torch.bool)
    for row in hidden[0]:
        row[torch.from_numpy(rng.permutation(side**3)[: round(0.6 * side**3)])] = True
    hidden = hidden.reshape(1, len(places), side, side, side)
    views = make_views(places, patients, hidden)
    views.valid[0, :, 9:] = False  # padding, so that processes count different numbers of voxels
    return Batch({"view": views}, size)


def take(batch: Batch, samples: list[int]) -> Batch:
    """The part of a batch that belongs to some samples, as the batch of one process."""
    roles = {}
    for name, views in batch.roles.items():
        rows = torch.cat([(views.owner == sample).nonzero().flatten() for sample in samples])
        number = {sample: n for n, sample in enumerate(samples)}
        roles[name] = replace(
            reorder(views, rows), owner=torch.tensor([number[int(o)] for o in views.owner[rows]], dtype=torch.long)
        )
    return Batch(roles, len(samples), batch.step)


def reorder(views: Views, rows: torch.Tensor) -> Views:
    """The views at ``rows``."""
    return replace(
        views,
        image=views.image[rows],
        valid=views.valid[rows],
        affine=views.affine[rows],
        box=views.box[rows],
        owner=views.owner[rows],
        ids={key: value[rows] for key, value in views.ids.items()},
        hidden=None if views.hidden is None else views.hidden[:, rows],
    )
