"""SelfCon: the exits of one network are the views of a crop, so that one crop is enough.

Bae et al., AAAI 2023, arXiv 2106.15499; with labels of several levels ImagiNet, arXiv 2407.20020. What a middle layer
says of a crop agrees with what the last one says, and differs from what any layer says of other patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder
from medssl.errors import RecipeError
from medssl.heads.projector import Projector
from medssl.methods.contract import Context, EmptyBatchError, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.rows import members, told
from medssl.methods.roles import random_crops
from medssl.objectives.contrastive import ContrastLog, contrast
from medssl.objectives.cosine import cosine, spread
from medssl.pairing.members import Members, together
from medssl.pairing.pairs import differ
from medssl.pairing.relation import Relation, attract, same_sample
from medssl.views.view import Batch, Role


class SelfCon(Method):
    """SupCon over N crops × E exits: levels of the pyramid, averaged over space, and last the pooled vector.

    Args:
        encoder: must have a pyramid of two levels or more.
        exits: levels of the pyramid beside the pooled vector, counted from the coarsest: -2 is the last but one.
        temperature: what similarities are divided by.
        outputs: length of the vectors that are compared. Each exit has a head of its own, as wide as the exit.
        norm: the heads' norm. ``none`` is the paper's; ``batch`` keeps vectors apart from the first step on.
        alpha: 0 for one contrast of all exits; above 0 the contrast of the last exit with itself plus this much of
            the contrast whose rows are the other exits, so that the last one is never drawn towards them as a row.
        targets: columns of the manifest; crops of scans with one value are positives, a loss for each column, summed.
            Empty: without labels.
        same_patient_negatives: whether other scans of a patient repel each other, too.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        exits: tuple[Annotated[int, Field(le=-2)], ...] = (-3, -2),
        temperature: Annotated[float, Field(gt=0)] = 0.07,
        outputs: Annotated[int, Field(ge=1)] = 128,
        norm: Literal["batch", "layer", "none"] = "batch",
        alpha: Annotated[float, Field(ge=0)] = 0.0,
        targets: tuple[str, ...] = (),
        same_patient_negatives: bool = False,
    ) -> None:
        super().__init__()
        _check_exits(encoder, exits)
        widths = [*(encoder.channels[level] for level in exits), encoder.width]
        self.encoder = encoder
        self.heads = nn.ModuleList(Projector(width, width, outputs, norm=norm) for width in widths)
        self.exits = tuple(exits)
        self.temperature = temperature
        self.alpha = alpha
        self.targets = tuple(targets)
        self.same_patient_negatives = same_patient_negatives

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """One crop of each scan."""
        return {"view": random_crops(settings)}

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """``view``: for every crop the vectors of all exits ``(N, E, d)``, the pooled one's last."""
        features = self.encoder(batch["view"].image)
        levels = [features.pyramid[level].data.flatten(2).mean(dim=2) for level in self.exits]
        rows = [head(x) for head, x in zip(self.heads, [*levels, features.pooled], strict=True)]
        return {"view": torch.stack(rows, dim=1)}

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast over the rows of all processes.

        Raises:
            EmptyBatchError: no row has both a positive and a negative.
        """
        z = ctx.gather(vectors["view"])
        who = together(*[members(batch, ctx, ("view",))] * z.shape[1])
        relations = self._relations(who, [ctx.gather(_values(batch, name)) for name in self.targets])
        # exit by exit, the pooled vector's rows last
        rows = z.transpose(0, 1).flatten(0, 1)
        similarity = cosine(rows, rows) / self.temperature
        found = {name: self._contrast(similarity, relation, len(z)) for name, relation in relations.items()}
        total = torch.stack([loss for loss, _ in found.values()]).sum()
        logs = {"embedding_std": spread(z[:, -1].detach())}
        if self.targets:
            logs |= {f"loss_{name}": loss.detach() for name, (loss, _) in found.items()}
        log = max((log for _, log in found.values()), key=lambda log: int(log.rows))
        if int(log.rows) == 0 and self.targets:
            reason = f"no two patients of the batch differ in {', '.join(self.targets)}"
            known = ", ".join(sorted(batch["view"].targets)) or "none"
            raise EmptyBatchError(reason, code="batch", hint=f"columns with values in this batch: {known}")
        return total, {**told(log, self.temperature, len(who)), **logs}

    def _relations(self, who: Members, values: list[Tensor]) -> dict[str, Relation]:
        alone = same_sample(who, same_patient_negatives=self.same_patient_negatives)
        if not self.targets:
            return {"": alone}
        exits = len(self.heads)
        patients = None if self.same_patient_negatives else differ("patient", who)
        pairs = zip(self.targets, values, strict=True)
        return {name: _labelled(alone, value.repeat(exits), patients) for name, value in pairs}

    def _contrast(self, similarity: Tensor, relation: Relation, crops: int) -> tuple[Tensor, ContrastLog]:
        positive, negative = relation.positive, relation.negative
        if self.alpha == 0:
            return contrast(similarity, positive, negative, form="outside", others="all")
        first, last = slice(0, -crops), slice(-crops, None)
        towards, log = contrast(similarity[first], positive[first], negative[first], form="outside", others="all")
        # without labels two pooled vectors never belong together, and these rows are left out
        among, _ = contrast(
            similarity[last, last], positive[last, last], negative[last, last], form="outside", others="all"
        )
        return among + self.alpha * towards, log

    def check(self, facts: Facts) -> list[str]:
        """Refuse columns that no scan has a value in; say what ``alpha`` leaves where there are no labels."""
        columns = self.targets if facts.targets is None else facts.targets
        for name in self.targets:
            if name not in columns:
                reason = f"expected columns of the manifest with values, got {name!r}"
                raise RecipeError(reason, path="targets", hint=f"such columns: {', '.join(columns) or 'none'}")
        if self.alpha > 0 and not self.targets:
            return ["method.alpha: without targets the last exit has no positives, only the other exits are rows"]
        return []

    def embedded(self, vectors: Vectors, batch: Batch) -> dict[str, Tensor]:
        """The vectors of all exits: those of one crop belong together."""
        return {"view": vectors["view"]} if "view" in vectors else {}

    def exported(self) -> dict[str, nn.Module]:
        """Encoder and heads, the pooled vector's last."""
        return {"encoder": self.encoder, "heads": self.heads}


def _check_exits(encoder: Encoder, exits: tuple[int, ...]) -> None:
    levels, name = len(encoder.channels), type(encoder).__name__
    if levels < 2:
        reason = f"{name} has a pyramid of {levels} level: there is no exit before the pooled vector"
        raise RecipeError(reason, code="encoder", hint="use an encoder with several levels: resnet, resenc or swin")
    if not exits or len(set(exits)) < len(exits) or not all(-levels <= level <= -2 for level in exits):
        reason = f"expected different levels from {-levels} to -2 of {name}, one or more, got {list(exits)}"
        raise RecipeError(reason, path="exits")


def _values(batch: Batch, name: str) -> Tensor:
    """A target of each view; NaN where it is unknown, and everywhere where no scan of this batch has it."""
    views = batch["view"]
    return views.targets.get(name, torch.full((len(views),), torch.nan, device=views.owner.device))


def _labelled(alone: Relation, value: Tensor, patients: Tensor | None) -> Relation:
    """Positives of one label beside a crop's own exits; what is unknown is neither of a label nor of another."""
    known = ~value.isnan()
    both = known[:, None] & known[None, :]
    one = both & (value[:, None] == value[None, :])
    other = both & ~one if patients is None else both & ~one & patients
    itself = torch.eye(len(value), dtype=torch.bool, device=value.device)
    return Relation(alone.positive, other) | attract(one & ~itself)
