"""DINOv2 in the way of 3DINO: DINO on whole views, iBOT on their hidden tokens, and KoLeo against crowding.

Oquab et al., TMLR 2024, arXiv 2304.07193; Xu et al., npj Digital Medicine 2025, arXiv 2501.11755.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medssl.encoders.contract import Encoder, Features
from medssl.errors import RecipeError, UsageError
from medssl.heads.prototype_head import PrototypeHead
from medssl.methods.contract import Context, Facts, Method, Vectors, ViewSettings
from medssl.methods.contrastive.layer_rates import RATES, Rates, layer_rates
from medssl.methods.contrastive.multi_crop import CROPS, SMALL, Crops, by_sample, masked_pair, multi_crop, present
from medssl.methods.contrastive.self_distillation import HEAD, ITERATIONS, STUDENT, WARMUP, Head, Warmup, assigned
from medssl.methods.masked.rebuild import hidden_cells, require_masking
from medssl.methods.passes import parted, through
from medssl.methods.roles import PAIR
from medssl.objectives.across_views import across_views, masked_tokens
from medssl.objectives.cosine import spread
from medssl.objectives.koleo import koleo
from medssl.objectives.sinkhorn import sinkhorn
from medssl.pairing.momentum import MomentumTeacher
from medssl.views.view import Batch, Role, Views

Ratio = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Spread:
    """How vectors keep apart (``koleo:`` of a method).

    Args:
        weight: of the loss, for each of the two large views.
        group: samples among whose vectors neighbours are looked for; groups never straddle processes.
    """

    weight: Annotated[float, Field(ge=0)] = 0.1
    group: Annotated[int, Field(ge=2)] = 128


SPREAD = Spread()


class DINOv2(Method):
    """DINO + iBOT + 0.1 KoLeo, with targets by Sinkhorn–Knopp and one head each for views and tokens.

    Args:
        encoder: a transformer with tokens that can put a learned vector in place of hidden ones; the teacher is a
            copy that follows it and sees whole views.
        crops: how many small views there are, and where views lie.
        head: prototypes and lengths, of either head.
        ratio: smallest and largest share of a masked view's tokens that are hidden; one of the two large views is
            masked.
        temperature: of the teacher.
        momentum: of the teacher at the start; a cosine leads to 1 at the end.
        koleo: weight and groups of the loss that keeps vectors apart.
        rates: learning rates of the encoder's layers.

    Raises:
        UsageError: the encoder has no such tokens.
    """

    least_patients = 2

    def __init__(
        self,
        encoder: Encoder,
        *,
        crops: Crops = CROPS,
        head: Head = HEAD,
        ratio: tuple[Ratio, Ratio] = (0.2, 0.75),
        temperature: Warmup = WARMUP,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.992,
        koleo: Spread = SPREAD,
        rates: Rates = RATES,
    ) -> None:
        super().__init__()
        require_masking(encoder, "drop", "DINOv2")
        self.encoder, self.head, self.token_head = encoder, head.build(encoder.width), head.build(encoder.width)
        self.teacher = MomentumTeacher(self._students, momentum, "cosine")
        self.crops, self.lengths, self.ratio, self.temperature = crops, head, ratio, temperature
        self.spread, self.rates = koleo, rates

    @property
    def _students(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "head": self.head, "token_head": self.token_head}

    def _teacher_head(self, name: str) -> PrototypeHead:
        return cast(PrototypeHead, self.teacher[name])

    def views(self, settings: ViewSettings) -> Mapping[str, Role]:
        """Two large views, one of which is masked, and the small ones."""
        roles = multi_crop(settings, self.crops, self.encoder)
        return {**roles, **masked_pair(roles, self.ratio, math.lcm(*self.encoder.strides[0]))}

    def check(self, facts: Facts) -> list[str]:
        """Refuse a batch without a neighbour; note groups that depend on the number of processes.

        Raises:
            RecipeError: KoLeo with one sample a process.
        """
        here, group = facts.batch // facts.processes, self.spread.group
        if here < 2 and self.spread.weight > 0:
            reason = f"KoLeo needs 2 or more samples a process, got {here}"
            raise RecipeError(reason, path="method.koleo", hint="raise optim.batch, or set method.koleo.weight=0")
        notes = self.lengths.notes(facts)
        if self.spread.weight > 0 and here % group and facts.processes > 1:
            notes.append(
                f"a process has {here} samples, which is no multiple of method.koleo.group={group}: the loss depends"
                " on the number of processes"
            )
        return notes

    def encode(self, batch: Batch, ctx: Context) -> Vectors:
        """For every role its vectors before the prototypes; of large views the pooled ``_features``, too.

        ``_tokens`` are ``(N, tokens, d)`` before the prototypes, where tokens are hidden, and zero elsewhere.
        ``_teacher`` and ``_tokens_teacher`` are the teacher's.
        """
        self.teacher.follow(self._students)
        images = torch.cat([batch[role].image for role in PAIR])
        hidden = torch.cat([hidden_cells(batch[role]) for role in PAIR])
        seen: Features = self.encoder(images, hidden, fill="learned")
        vectors = parted(seen.pooled, batch, PAIR)
        found = {f"{role}_features": rows for role, rows in vectors.items()}
        if SMALL in batch:
            vectors[SMALL] = self.encoder(batch[SMALL].image).pooled
        found |= through(self.head.projector, vectors)
        tokens = parted(_at_hidden(seen, hidden, self.token_head), batch, PAIR)
        with torch.no_grad():
            whole: Features = self.teacher["encoder"](images)
            taught = parted(self._teacher_head("head").projector(whole.pooled), batch, PAIR)
            shown = parted(_at_hidden(whole, hidden, self._teacher_head("token_head")), batch, PAIR)
        for role in PAIR:
            found |= {f"{role}_tokens": tokens[role], f"{role}_teacher": taught[role]}
            found[f"{role}_tokens_teacher"] = shown[role]
        return found

    def loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the three; the mean of DINO is over all pairs, (2 + 16) with eight small views."""
        views, targets = self._views_loss(vectors, batch, ctx)
        tokens = self._tokens_loss(vectors, batch, ctx)
        apart = torch.stack([self._apart(vectors[f"{role}_features"], batch[role]) for role in PAIR]).sum()
        return views + tokens + self.spread.weight * apart, {
            "loss_views": views.detach(),
            "loss_tokens": tokens.detach(),
            "loss_koleo": apart.detach(),
            **assigned(targets),
            "embedding_std": spread(vectors["view"].detach()),
        }

    def _views_loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            taught = torch.cat([self._teacher_head("head").prototypes(vectors[f"{role}_teacher"]) for role in PAIR])
            targets = sinkhorn(taught, self.temperature.at(ctx.progress), ITERATIONS, ctx.gather)
        of_roles = parted(targets, batch, PAIR)
        large = [by_sample(rows, batch[role].owner, batch.size)[0] for role, rows in of_roles.items()]
        scores = through(lambda rows: self.head.prototypes(rows, ctx.step), {r: vectors[r] for r in present(batch)})
        views = [one for role, rows in scores.items() for one in by_sample(rows, batch[role].owner, batch.size)]
        return across_views(views, large, STUDENT), targets

    def _tokens_loss(self, vectors: Vectors, batch: Batch, ctx: Context) -> Tensor:
        hidden = torch.cat([_hidden_tokens(hidden_cells(batch[role]), self._grid(batch[role])) for role in PAIR])
        mine = torch.cat([vectors[f"{role}_tokens"] for role in PAIR])[hidden]
        scores = self.token_head.prototypes(mine, ctx.step)
        with torch.no_grad():
            shown = torch.cat([vectors[f"{role}_tokens_teacher"] for role in PAIR])[hidden]
            taught = self._teacher_head("token_head").prototypes(shown)
            targets = sinkhorn(taught, self.temperature.at(ctx.progress), ITERATIONS, ctx.gather)
        return masked_tokens(scores, targets, hidden.nonzero()[:, 0], len(hidden), STUDENT)

    def _apart(self, features: Tensor, views: Views) -> Tensor:
        return koleo(features, views.owner // self.spread.group, views.ids["patient"]).loss

    def _grid(self, views: Views) -> tuple[int, ...]:
        patch = self.encoder.strides[0]
        return tuple(edge // step for edge, step in zip(views.image.shape[2:], patch, strict=True))

    def embedded(self, vectors: Vectors, batch: Batch) -> dict[str, Tensor]:
        """The large views: small ones differ from them by their size more than scans do."""
        return {role: vectors[role] for role in PAIR}

    def after_step(self, ctx: Context) -> None:
        """Prototypes keep their length, the teacher follows."""
        for head in (self.head, self.token_head):
            head.prototypes.after_step(ctx.step)
        self.teacher.move(self._students, ctx.progress)

    def param_groups(self) -> list[dict[str, Any]]:
        """Groups by layer, each with and without weight decay."""
        return layer_rates(self, self.encoder, self.rates)

    def exported(self) -> dict[str, nn.Module]:
        """Encoder, both heads and the teacher of all."""
        return {**self._students, "teacher": self.teacher}


def _hidden_tokens(hidden: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Cells ``(N, cells…)`` to tokens ``(N, L)``: a cell is one token or several."""
    for axis, (tokens, cells) in enumerate(zip(grid, hidden.shape[1:], strict=True), start=1):
        hidden = hidden if tokens == cells else hidden.repeat_interleave(tokens // cells, dim=axis)
    return hidden.flatten(1)


def _at_hidden(features: Features, hidden: Tensor, head: PrototypeHead) -> Tensor:
    """What a head makes of hidden tokens ``(N, L, d)``, zero at the others, which cost nothing."""
    if features.tokens is None:
        raise UsageError("DINOv2 needs an encoder with tokens", code="method")
    at = _hidden_tokens(hidden, features.tokens.grid)
    rows: Tensor = head.projector(features.tokens.data[at])
    return rows.new_zeros(*at.shape, rows.shape[-1]).index_put(at.nonzero(as_tuple=True), rows)
