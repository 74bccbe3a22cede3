"""ColloSSL: what one study's sequences or phases show of one place attract each other, the closest pair alone.

Jain et al., IMWUT 2022, arXiv 2202.00758, for the devices that one person wears. For each sequence the closest other
one of the study gives the positive; other patients in all other sequences are negatives, the closer their sequence the
heavier. The release returns the similarity with its sign reversed; here positives attract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import InputError
from medssl.heads.projector import Projector
from medssl.loading.plan import ScanIds, Survey
from medssl.loading.study_sampler import StudySampler
from medssl.methods.contract import Context, EmptyBatchError, Method, Stage, Vectors, ViewSettings
from medssl.methods.contrastive.looks import LOOK, look_views
from medssl.methods.contrastive.rows import members, told
from medssl.methods.passes import pooled, through
from medssl.methods.roles import random_crops
from medssl.objectives.contrastive import contrast
from medssl.objectives.cosine import cosine, spread
from medssl.pairing.members import Members
from medssl.pairing.pairs import same
from medssl.pairing.sequences import collaborative, discrepancies, kinds_of, value_statistics
from medssl.views.crops.base_grid import Twin
from medssl.views.view import Batch, Role

MAIN = "main"
STATISTICS = "_statistics"
MOST = 512
"""Crops of a sequence that the survey compares with those of another."""


class ColloSSL(Method):
    """Weighted contrast over several scans of each study.

    Args:
        encoder: one for all sequences; its pooled vector is projected.
        scans: of a study that a sample holds, at most; of a study with more, some by chance.
        measure: how sequences are compared, by the maximum mean discrepancy of their crops' values: once before the
            ``run``, over all scans as they are, or in each ``batch`` by itself, as in the paper.
        temperature: what similarities are divided by.
        hidden: width between the projector's two layers.
        outputs: length of the vectors that are compared.
        norm: the projector's norm: ``batch``, ``layer`` or ``none``.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        scans: Annotated[int, Field(ge=2)] = 2,
        measure: Literal["run", "batch"] = "run",
        temperature: Annotated[float, Field(gt=0)] = 0.05,
        hidden: Annotated[int, Field(ge=1)] = 2048,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = Projector(encoder.width, hidden, outputs, norm=norm)
        self.scans, self.measure, self.temperature = scans, measure, temperature

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """``scan_0``, a crop of one scan of the study, and ``scan_1``, …: the same place in others."""
        first = random_crops(settings)
        others = {f"scan_{n}": replace(first, crop=Twin("scan_0"), record=n) for n in range(1, self.scans)}
        return {"scan_0": first, **others}

    def stages(self, steps: int, settings: ViewSettings) -> Sequence[Stage]:
        """One stage, whose samples are studies; before it sequences are compared, if once for the run."""
        views, looks = self.views(settings), look_views(settings)
        return [Stage(MAIN, steps, views, sampler=self._studies, survey=self.measure == "run", survey_views=looks)]

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """A vector for every view of each role, and the statistics of its values (``<role>_statistics``)."""
        if LOOK in batch:
            return {LOOK: value_statistics(batch[LOOK].image, batch[LOOK].valid)}
        roles = tuple(batch.roles)
        values = {role + STATISTICS: value_statistics(batch[role].image, batch[role].valid) for role in roles}
        return {**through(self.projector, pooled(self.encoder, batch, roles)), **values}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted contrast over the rows of all processes.

        Raises:
            EmptyBatchError: no row has both a positive and a negative.
        """
        roles = tuple(batch.roles)
        z = torch.cat([ctx.gather(vectors[role]) for role in roles])
        values = torch.cat([ctx.gather(vectors[role + STATISTICS]) for role in roles])
        who = members(batch, ctx, roles)
        there = _there(who, values)
        if not bool(there.any()):
            raise EmptyBatchError("no scan says of which sequence it is", code="batch", hint="fill in modality")
        views, z, who = len(who), z[there], who[there]
        kind, distance = self._distances(who, values[there], ctx)
        relation = collaborative(who, kind, distance)
        loss, log = contrast(cosine(z, z) / self.temperature, relation.positive, relation.negative)
        missing = torch.tensor(float(views - len(who)))
        logs = {"sequences_missing": missing, "embedding_std": spread(z.detach())}
        return loss, {**told(log, self.temperature, len(who)), **logs}

    def survey(self, vectors: Vectors, ids: Mapping[str, Tensor], ctx: Context) -> Survey:
        """``sequence``: the ids that there are; ``distance``: of each to each; ``seed``: of the sampler."""
        known = torch.unique(ids["sequence"][ids["sequence"] >= 0])
        kind = kinds_of(ids["sequence"], known)
        chosen = []
        for number in range(len(known)):
            crops = (kind == number).nonzero().squeeze(1)
            chosen.append(crops[torch.linspace(0, len(crops) - 1, min(MOST, len(crops))).round().long()])
        rows = torch.cat(chosen) if chosen else kind[:0]
        seed = torch.randint(2**62, (1,), generator=ctx.generator)
        return {"sequence": known, "distance": discrepancies(vectors[LOOK][rows], kind[rows], len(known)), "seed": seed}

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and projector."""
        return {"encoder": self.encoder, "projector": self.projector}

    def _distances(self, who: Members, values: Tensor, ctx: Context) -> tuple[Tensor, Tensor]:
        """The sequence of each row by number, and the distances of the sequences by number."""
        names = who.ids("sequence")
        found = ctx.surveys.get(MAIN) if self.measure == "run" else None
        if found is not None:
            return kinds_of(names, found["sequence"].to(names.device)), found["distance"]
        known = torch.unique(names)
        kind = kinds_of(names, known)
        return kind, discrepancies(values, kind, len(known))

    def _studies(self, ids: ScanIds, surveys: Mapping[str, Survey]) -> StudySampler:
        """Several scans of a study.

        Raises:
            InputError: no study has two sequences.
        """
        found: dict[tuple[int, int], set[int]] = {}
        for position in range(len(ids)):
            one = ids.ids(position)
            if one.get("study", -1) >= 0 and one.get("sequence", -1) >= 0:
                found.setdefault((one.get("patient", -1), one["study"]), set()).add(one["sequence"])
        if all(len(names) < 2 for names in found.values()):
            raise InputError(
                "no study has scans of two sequences",
                code="too-few",
                hint="scans of one study share study_id, and modality says of which sequence each is",
            )
        seed = surveys[MAIN]["seed"] if MAIN in surveys else 0
        return StudySampler(ids, int(seed), self.scans)


def _there(who: Members, values: Tensor) -> Tensor:
    """``(n,)`` bool: views of a known sequence, with a voxel inside the scan, that no earlier role shows already.

    A study that lacks a sequence gives another one again; its second view is dropped with the missing one.
    """
    again = same("sample", who) & same("record", who)
    earlier = torch.ones_like(again).tril(-1)
    return (who.ids("sequence") >= 0) & values.isfinite().all(dim=1) & ~(again & earlier).any(dim=1)
