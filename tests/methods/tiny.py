"""Every registered method with its smallest settings, on hand-made batches of 16³ views."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from medssl.draws import generator
from medssl.encoders.build import build_encoder
from medssl.methods import METHODS
from medssl.methods.contract import Context, Method, Stage
from medssl.methods.contrastive.crop_graph import CropGraph
from medssl.methods.contrastive.dinov2 import Spread
from medssl.methods.contrastive.ft import Transform
from medssl.methods.contrastive.halp import Hallucination
from medssl.methods.contrastive.mochi import Mixing
from medssl.methods.contrastive.multi_crop import Crops
from medssl.methods.contrastive.scgc import Influence
from medssl.methods.contrastive.self_distillation import Head
from medssl.methods.contrastive.synco import Synthesis
from medssl.recipe import load_class
from medssl.views.grid import Box
from medssl.views.settings import ViewSettings
from medssl.views.view import Batch, Role, Views

SIDE = 16

ENCODERS: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 10, "width": 8, "norm": "group", "stem_stride": 1},
    "resenc": {"widths": (8, 16, 16), "blocks": (1, 1, 1), "strides": (1, 2, 2), "norm": "group"},
    "vit": {"patch": 4, "width": 24, "depth": 1, "heads": 2},
    "swin": {"width": 12, "window": 2, "depths": (1, 1, 1, 1), "heads": (1, 1, 1, 1)},
}

QUEUED = {"outputs": 16, "queue": 4, "momentum": 0.99, "temperature": 0.05}

SETTINGS: dict[str, dict[str, Any]] = {
    "simclr": {"hidden": 32, "outputs": 16, "temperature": 0.5, "norm": "layer"},
    "dclw": {"hidden": 32, "outputs": 16, "temperature": 0.5, "norm": "layer"},
    "selfcon": {"outputs": 16, "norm": "layer"},
    "scgc": {"outputs": 16, "scale": 4.0, "influence": Influence(order=1), "norm": "layer"},
    "gcool": {"graph": CropGraph(crops=1), "hidden": 32, "outputs": 16, "norm": "layer"},
    "byol": {"hidden": 32, "outputs": 16, "momentum": 0.9, "norm": "layer"},
    "simsiam": {"hidden": 32, "outputs": 16, "bottleneck": 8, "norm": "layer"},
    "moco-v3": {"hidden": 32, "outputs": 16, "temperature": 0.1, "momentum": 0.9, "norm": "layer"},
    "vicreg": {"width": 16, "norm": "layer"},
    "barlow-twins": {"width": 16, "norm": "layer"},
    "groco": {"hidden": 32, "outputs": 16, "hardest": 1, "steepness": 20.0, "norm": "layer"},
    "moco-v2": {**QUEUED},
    "mochi": {**QUEUED, "mixing": Mixing(hardest=2, of_two=1, with_query=0, wait=0.0)},
    "synco": {**QUEUED, "synthesis": Synthesis(hardest=2, counts=(0, 1, 0, 0, 0, 0), wait=0.0)},
    "ft": {**QUEUED, "transform": Transform(normalize=True)},
    "halp": {**QUEUED, "hallucination": Hallucination(prototypes=2, count=4)},
    "swav": {
        "crops": Crops(locals=2),
        "prototypes": 4,
        "hidden": 32,
        "outputs": 16,
        "norm": "layer",
        "freeze_steps": 0,
    },
    "dino": {"crops": Crops(locals=2), "head": Head(8, 32, 16, freeze_steps=0), "targets": "sinkhorn"},
    "g-simclr": {"hidden": 32, "outputs": 16, "temperature": 0.5, "norm": "layer"},
    "mcl": {"hidden": 32, "outputs": 16, "temperature": 0.5, "norm": "layer"},
    "dinov2": {"crops": Crops(locals=2), "head": Head(8, 32, 16, freeze_steps=0), "koleo": Spread(group=2)},
    "cvrl": {"hidden": 32, "outputs": 16, "temperature": 0.2, "norm": "layer"},
    "collossl": {"measure": "batch", "hidden": 32, "outputs": 16, "temperature": 0.1, "norm": "layer"},
    "spark": {"cell": 8, "decoder_width": 16},
    "mae": {"decoder_width": 24, "decoder_heads": 2, "decoder_depth": 1},
    "models-genesis": {"windows": 50, "width": 8},
    "volume-fusion": {"edge": (4, 8), "width": 8},
    "swin-tasks": {"outputs": 16, "temperature": 0.1},
    "voco": {"grid": (2, 2, 1), "width": 32, "norm": "layer"},
}

CARRIES = {
    "simclr": ("resnet", "resenc", "vit", "swin"),
    "dclw": ("resnet", "resenc", "vit", "swin"),
    "selfcon": ("resnet", "resenc", "swin"),
    "scgc": ("resnet", "resenc", "vit", "swin"),
    "gcool": ("resnet", "resenc", "vit", "swin"),
    "byol": ("resnet", "resenc", "vit", "swin"),
    "simsiam": ("resnet", "resenc", "vit", "swin"),
    "moco-v3": ("resnet", "resenc", "vit", "swin"),
    "vicreg": ("resnet", "resenc", "vit", "swin"),
    "barlow-twins": ("resnet", "resenc", "vit", "swin"),
    "groco": ("resnet", "resenc", "vit", "swin"),
    "moco-v2": ("resnet", "resenc", "vit", "swin"),
    "mochi": ("resnet", "resenc", "vit", "swin"),
    "synco": ("resnet", "resenc", "vit", "swin"),
    "ft": ("resnet", "resenc", "vit", "swin"),
    "halp": ("resnet", "resenc", "vit", "swin"),
    "swav": ("resnet", "resenc", "vit", "swin"),
    "dino": ("resnet", "resenc", "vit", "swin"),
    "g-simclr": ("resnet", "resenc", "vit", "swin"),
    "mcl": ("resnet", "resenc", "vit", "swin"),
    "dinov2": ("vit",),
    "cvrl": ("resnet", "resenc", "vit", "swin"),
    "collossl": ("resnet", "resenc", "vit", "swin"),
    "spark": ("resnet", "resenc"),
    "mae": ("vit",),
    "models-genesis": ("resenc", "resnet", "vit"),  # with swin at 32³, in its own test
    "volume-fusion": ("resenc", "resnet", "vit"),
    "swin-tasks": ("resenc", "resnet", "vit", "swin"),
    "voco": ("resnet", "resenc", "vit", "swin"),
}

MASKED = ("spark", "mae")

PAIRS = [(method, encoder) for method in METHODS for encoder in CARRIES[method]]


def build(method: str, encoder: str, seed: int = 0, **settings: Any) -> Method:
    """A method with fresh weights."""
    torch.manual_seed(seed)
    network = build_encoder(encoder, 1, **ENCODERS[encoder])
    made: Method = load_class(METHODS[method])(network, **{**SETTINGS[method], **settings})
    return made


def context(**values: Any) -> Context:
    return Context(total_steps=10, **values)


def context_for(method: Method, **values: Any) -> Context:
    """The context of a method's last stage."""
    return context(stage=stage_of(method).name, **values)


def scan(seed: int, shape: tuple[int, ...] = (2 * SIDE, 2 * SIDE, SIDE)) -> torch.Tensor:
    """A smooth random volume ``(1, i, j, k)`` with a gradient, so that places can be told apart."""
    noise = torch.randn(1, 1, 5, 5, 5, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(noise, shape, mode="trilinear", align_corners=True)[0]
    return smooth + torch.linspace(-2, 2, shape[0])[None, :, None, None]


def make_views(
    crops: list[tuple[int, tuple[int, int, int]]],
    patients: list[int],
    hidden: torch.Tensor | None = None,
    shape: tuple[int, ...] = (SIDE,) * 3,
) -> Views:
    """Views of the scans of ``owner``, each cut out at an origin."""
    images, boxes = [], []
    for owner, origin in crops:
        cut = tuple(slice(at, at + length) for at, length in zip(origin, shape, strict=True))
        images.append(scan(owner)[(slice(None), *cut)])
        affine = np.eye(4)
        affine[:3, 3] = origin
        boxes.append(Box(affine, tuple(shape)).to_numbers())
    owner = torch.tensor([o for o, _ in crops])
    return Views(
        image=torch.stack(images),
        valid=torch.ones(len(crops), 1, *shape, dtype=torch.bool),
        affine=torch.eye(4, dtype=torch.float64).repeat(len(crops), 1, 1),
        box=torch.from_numpy(np.stack(boxes)),
        owner=owner,
        ids={"patient": torch.tensor(patients)[owner], "record": owner + 10},
        hidden=hidden,
    )


def stage_of(method: Method) -> Stage:
    """The last stage of a method, on views of 16³."""
    return method.stages(10, ViewSettings(crop=(SIDE,) * 3))[-1]


def batch_for(method: Method, name: str, size: int = 4) -> Batch:
    """A batch of ``size`` patients for the last stage of a method."""
    rng = generator(0)
    patients = [100 + n for n in range(size)]
    if name == "voco":
        cells = [(o, (SIDE * i, SIDE * j, 0)) for o in range(size) for i in range(2) for j in range(2)]
        places = [(o, (*rng.integers(SIDE + 1, size=2).tolist(), 0)) for o in range(size) for _ in range(2)]
        return Batch({"base": make_views(cells, patients), "query": make_views(places, patients)}, size)
    roles = {role: _views_of(asked, patients, rng) for role, asked in stage_of(method).views.items()}
    if name in MASKED:
        roles["view"].valid[0, :, 9:] = False  # padding, so that processes count different numbers of voxels
    return Batch(roles, size)


def _views_of(role: Role, patients: list[int], rng: np.random.Generator) -> Views:
    """What a role asks for: crops of its shape anywhere in the scans, with its masks."""
    shape = tuple(getattr(role.crop, "shape", (SIDE,) * 3))
    room = [whole - length + 1 for whole, length in zip((2 * SIDE, 2 * SIDE, SIDE), shape, strict=True)]
    owners = [owner for owner in range(len(patients)) for _ in range(role.count)]
    places = [(owner, tuple(int(rng.integers(r)) for r in room)) for owner in owners]
    hidden = None
    if role.masks is not None:
        cells = tuple(length // role.masks.cell for length in shape)
        drawn = np.stack([role.masks.draws(cells, rng, role.draws) for _ in places], axis=1)
        hidden = torch.from_numpy(drawn)
    made = make_views(places, patients, hidden, shape)
    # another scan of the sample is another record, and of another sequence
    made.ids["record"] += 1000 * role.record
    made.ids["sequence"] = torch.full_like(made.owner, role.record)
    if role.numbers is not None:
        side = (shape[0], shape[1], shape[2])
        made.params = [{"numbers": role.numbers.draw(side, rng)} for _ in places]
    return made


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


def double(batch: Batch) -> Batch:
    """The same images in double precision."""
    return replace(batch, roles={name: replace(v, image=v.image.double()) for name, v in batch.roles.items()})


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
        params=[views.params[int(row)] for row in rows] if views.params else [],
    )
