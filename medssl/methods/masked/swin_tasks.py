"""SwinUNETR's three pretraining tasks: which way a crop was turned, which crop it is, and what was cut out of it.

Tang et al., CVPR 2022, arXiv 2111.14791.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from medssl.encoders.contract import Encoder, Features
from medssl.errors import RecipeError, UsageError
from medssl.heads.trilinear_decoder import TrilinearDecoder
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.rows import members
from medssl.methods.masked.cut_and_swap import CutAndSwap, Distorted, distorted
from medssl.methods.masked.rebuild import mean_of_all
from medssl.methods.passes import parted
from medssl.methods.roles import PAIR, random_crops
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine, spread
from medssl.pairing.pairs import differ
from medssl.views.crops.base_grid import Twin
from medssl.views.view import Batch, Role

Weight = Annotated[float, Field(ge=0)]
CROPS = 2
"""Crops of a scan, each of which is distorted twice."""


class SwinTasks(Method):
    """Rotation, contrast and reconstruction at once, on the coarsest map alone.

    Args:
        encoder: any; the paper's is a Swin transformer.
        form: ``released`` reads rotation and contrast from the first and the second site of the coarsest map, and all
            other crops of this process repel, the same scan's too; ``corrected`` reads both from the pooled vector,
            and crops of other patients on all processes repel.
        rotation: weight of the task; with 0 nothing is turned.
        contrast: weight of the task.
        reconstruction: weight of the task.
        cut: largest share of a crop that noise replaces, and once more that the scan's other crop replaces.
        outputs: length of the vectors that are compared.
        temperature: what similarities are divided by.

    Raises:
        RecipeError: no task has a weight.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        form: Literal["released", "corrected"] = "corrected",
        rotation: Weight = 1.0,
        contrast: Weight = 1.0,
        reconstruction: Weight = 1.0,
        cut: Annotated[float, Field(ge=0, le=1)] = 0.3,
        outputs: Annotated[int, Field(ge=1)] = 512,
        temperature: Annotated[float, Field(gt=0)] = 0.5,
    ) -> None:
        super().__init__()
        self.weights = {"rotation": rotation, "contrast": contrast, "reconstruction": reconstruction}
        if not any(self.weights.values()):
            raise RecipeError("rotation, contrast and reconstruction are all 0: there is no task", path="rotation")
        self.encoder, self.released, self.temperature = encoder, form == "released", temperature
        self.numbers = CutAndSwap(cut, rotation > 0)
        # a task that is switched off has no head, so that every parameter has a gradient
        width = encoder.channels[-1] if self.released else encoder.width
        self.heads = nn.ModuleDict()
        if rotation:
            self.heads["rotation"] = nn.Linear(width, 4)
        if contrast:
            self.heads["contrast"] = nn.Linear(width, outputs)
        if reconstruction:
            self.heads["decoder"] = TrilinearDecoder(encoder.channels[-1], encoder.strides[-1], encoder.in_channels)

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """``view``, two crops of each scan, and ``partner``, the same voxels, for turns and cuts of their own.

        Raises:
            UsageError: the crop cannot be turned, or has no second site (``views.crop``).
        """
        crop, stride = settings.crop, self.encoder.strides[-1]
        if self.weights["rotation"] and crop[1] != crop[2]:
            raise UsageError(
                f"crops are turned in the j-k plane and must be as long along j as along k, got {crop}",
                path="views.crop",
                code="method",
                hint="set method.rotation=0, or another views.crop",
            )
        sites = math.prod(-(-n // s) for n, s in zip(crop, stride, strict=True))
        if self.released and sites < 2:
            raise UsageError(
                f"the released form compares the second site of the coarsest map; a crop of {crop} has {sites}",
                path="views.crop",
                code="method",
                hint="use a larger crop, or method.form=corrected",
            )
        view = replace(random_crops(settings, CROPS), numbers=self.numbers)
        partner = replace(view, crop=Twin("view", turned=True), spatial=type(view.spatial)())
        return {"view": view, "partner": partner}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """By role ``view``: vectors; ``view_rotation``: logits; ``view_rebuilt``: voxels; of tasks with a weight."""
        image = torch.cat([distorted(batch[role]).seen for role in PAIR])
        features: Features = self.encoder(image)
        coarsest = features.pyramid[-1].data
        sites = coarsest.flatten(2)
        found: Vectors = {}
        for name, head in self.heads.items():
            if name == "decoder":
                rows = head(coarsest, image.shape[2:])
            elif self.released:
                rows = head(sites[..., int(name == "contrast")])
            else:
                rows = head(features.pooled)
            suffix = {"rotation": "_rotation", "contrast": "", "decoder": "_rebuilt"}[name]
            found |= {role + suffix: part for role, part in parted(rows, batch, PAIR).items()}
        return found

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the tasks; padding is never a target."""
        pair = [distorted(batch[role]) for role in PAIR]
        tasks = {"rotation": self._rotation, "contrast": self._contrast, "reconstruction": self._reconstruction}
        logs: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch["view"].image.device)
        for name, task in tasks.items():
            if self.weights[name]:
                term, told = task(vectors, batch, pair, ctx)
                total = total + self.weights[name] * term
                logs |= {f"{name}_loss": term.detach(), **told}
        return total, logs

    def _rotation(
        self, vectors: Vectors, batch: Batch, pair: list[Distorted], ctx: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        logits = torch.cat([vectors[f"{role}_rotation"] for role in PAIR]).float()
        turns = torch.cat([one.turns for one in pair])
        total = cross_entropy(logits, turns, reduction="sum")
        right = (logits.argmax(1) == turns).float().mean()
        return mean_of_all(total, torch.tensor(len(turns), device=total.device), ctx), {"rotation_accuracy": right}

    def _contrast(
        self, vectors: Vectors, batch: Batch, pair: list[Distorted], ctx: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        gather = (lambda rows: rows) if self.released else ctx.gather
        z = torch.cat([gather(vectors[role]) for role in PAIR])
        # the two distortions of a crop stand at the same place of the two halves
        same = torch.eye(len(z), dtype=torch.bool, device=z.device)
        twin = same.roll(len(z) // 2, 0)
        others = ~(twin | same)
        if not self.released:
            who = members(batch, ctx)
            others = others & differ("patient", who, who)
        loss, log = contrast(cosine(z, z) / self.temperature, twin, others)
        return loss, {"dropped_without_negative": log.without_negative.float(), "embedding_std": spread(z.detach())}

    def _reconstruction(
        self, vectors: Vectors, batch: Batch, pair: list[Distorted], ctx: Context
    ) -> tuple[Tensor, dict[str, Tensor]]:
        rebuilt = torch.cat([vectors[f"{role}_rebuilt"] for role in PAIR]).float()
        target, valid = (torch.cat([getattr(one, name) for one in pair]) for name in ("turned", "valid"))
        counted = valid.expand_as(target)
        total = torch.where(counted, rebuilt - target.float(), 0.0).abs().sum()
        return mean_of_all(total, counted.sum(), ctx), {}

    def check(self, facts: Facts) -> list[str]:
        """Refuse a contrast without negatives.

        Raises:
            RecipeError: the corrected form is asked to contrast the crops of one patient.
        """
        if self.weights["contrast"] and not self.released and min(facts.patients, facts.batch) < 2:
            raise RecipeError(
                f"contrast needs two patients a step, got {facts.patients} and a batch of {facts.batch}",
                path="contrast",
                hint="use a batch of 2 or more, or method.contrast=0",
            )
        return []

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, and the heads of the tasks that have a weight."""
        return {"encoder": self.encoder, **self.heads}

    @torch.no_grad()
    def pictures(self, batch: Batch, ctx: Context) -> dict[str, Tensor]:
        """The turned crops, what the network saw of them, and what it made of that."""
        found = distorted(batch["view"])
        rebuilt = self.encode(batch, ctx).get("view_rebuilt")
        return {"input": found.turned, "seen": found.seen, **({} if rebuilt is None else {"rebuilt": rebuilt})}
