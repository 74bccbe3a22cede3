"""What methods with a queue share: a teacher that makes keys, and the queue of the keys of earlier steps.

He et al., CVPR 2020, arXiv 1911.05722. Each step compares queries with their keys and with what the queue holds of
other patients. Until the queue is full, this step's keys of other patients stand beside it, so that the first step
has negatives too; from then on the queue alone is compared with, as in the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medssl.encoders.contract import Encoder, Features
from medssl.errors import RecipeError
from medssl.heads.projector import Projector, ProjectorNorm
from medssl.methods.contract import Context, Facts, Vectors
from medssl.methods.contrastive.rows import members, told
from medssl.methods.passes import pooled
from medssl.methods.roles import PAIR
from medssl.objectives.contrast_bank import contrast_bank
from medssl.objectives.contrastive import ContrastLog
from medssl.objectives.cosine import spread, unit
from medssl.pairing.bank import bank_pairs, own_columns
from medssl.pairing.hard_mixing import MadeUp
from medssl.pairing.members import Members, together
from medssl.pairing.momentum import MomentumTeacher
from medssl.pairing.queue import Queue
from medssl.views.view import Batch

QUERY, KEY = PAIR
ROWS_A_SCAN = 16
"""A queue with more rows for each scan is refused: hardly any of it would be anything but repetition."""


@dataclass(frozen=True)
class Lookup:
    """A step's queries, their keys, and the rows that they are compared with.

    Args:
        query: ``(n, d)`` of length one, of all processes, with gradient.
        key: ``(n, d)`` of length one, the positive of each query, without gradient.
        who: members of the queries.
        bank: ``(M, d)`` of length one: the queue, and this step's keys until it is full.
        members: of the bank.
        full: whether the bank is a full queue and nothing else.
    """

    query: Tensor
    key: Tensor
    who: Members
    bank: Tensor
    members: Members
    full: bool

    def negatives(self, rows: slice = slice(None)) -> Tensor:
        """W⁻ of some queries ``(rows, M)`` bool."""
        return bank_pairs(self.who, self.members)(rows)[1]

    def contrast(self, temperature: float, made: MadeUp | None = None) -> tuple[Tensor, ContrastLog]:
        """InfoNCE of each query with its key, the bank, and what was made up for it."""
        own = own_columns(self.query, self.key, made)
        return contrast_bank(
            self.query, self.bank, temperature=temperature, pairs=lambda rows: (None, self.negatives(rows)), own=own
        )

    def told(self, log: ContrastLog, temperature: float) -> dict[str, Tensor]:
        """What the loss logs.

        Raises:
            EmptyBatchError: no query has a negative.
        """
        logs = {**told(log, temperature, len(self.who)), "embedding_std": spread(self.query.detach())}
        return {**logs, "bank_rows": self.query.new_tensor(float(len(self.bank)))}

    @torch.no_grad()
    def similarity_made_up(self, made: MadeUp | None) -> dict[str, Tensor]:
        """Mean similarity of the queries with what was made up for them, to log; 0 where nothing was."""
        if made is None:
            return {"similarity_made_up": self.query.new_zeros(())}
        total = torch.where(made.weight, made.similarity(self.query), 0.0).sum()
        return {"similarity_made_up": total / made.weight.sum().clamp(min=1)}


class QueuedKeys(nn.Module):
    """Projector, teacher of encoder and projector, and the queue; the encoder stays the method's own.

    Args:
        encoder: whose pooled vector is projected.
        outputs: length of the vectors that are compared; between the projector's two layers it is the encoder's width.
        norm: of the projector.
        size: rows of the queue.
        momentum: of the teacher, constant.

    Raises:
        RecipeError: a setting is out of range.
    """

    def __init__(self, encoder: Encoder, outputs: int, norm: ProjectorNorm, size: int, momentum: float) -> None:
        super().__init__()
        self.projector = Projector(encoder.width, encoder.width, outputs, norm=norm)
        self.teacher = MomentumTeacher({"encoder": encoder, "projector": self.projector}, momentum)
        self.queue = Queue(size, outputs)

    def encode(self, encoder: Encoder, batch: Batch) -> Vectors:
        """``view``, the queries, and ``partner_teacher``, their keys without gradient."""
        query: Tensor = self.projector(pooled(encoder, batch, (QUERY,))[QUERY])
        self.teacher.follow(self._students(encoder))
        with torch.no_grad():
            features: Features = self.teacher["encoder"](batch[KEY].image)
            key: Tensor = self.teacher["projector"](features.pooled)
        return {QUERY: query, f"{KEY}_teacher": key}

    def look_up(self, vectors: Vectors, batch: Batch, ctx: Context) -> Lookup:
        """Gather, and note the keys, which ``move`` puts into the queue."""
        query, key = (unit(ctx.gather(vectors[name])) for name in (QUERY, f"{KEY}_teacher"))
        who, keys = (members(batch, ctx, (role,)) for role in PAIR)
        bank, others, full = self.queue.rows().float(), self.queue.members(), self.queue.full
        if not full:
            bank, others = torch.cat([bank, key.detach().float()]), together(others, keys)
        self.queue.hold(key, keys)
        return Lookup(query, key.detach(), who, bank, others, full)

    def move(self, encoder: Encoder, ctx: Context) -> None:
        """The teacher follows, and the step's keys take the place of the oldest ones."""
        self.teacher.move(self._students(encoder), ctx.progress)
        self.queue.push()

    def check(self, facts: Facts, encoder: Encoder, *, fills: bool) -> list[str]:
        """Refuse a queue that the data or the run cannot fill, and note what is doubtful.

        Args:
            facts: of the run.
            encoder: the method's.
            fills: whether the method makes something up of a full queue, and so needs one.

        Raises:
            RecipeError: ``queue``.
        """
        size, passed = self.queue.size, facts.batch * facts.steps
        filled = steps_to_fill(size, facts)
        if size > ROWS_A_SCAN * facts.scans:
            reason = f"expected at most {ROWS_A_SCAN} rows a scan, got {size} for {facts.scans} scans"
            raise RecipeError(reason, path="queue", hint=f"set method.queue to {facts.scans} or less")
        if fills and filled >= facts.steps:
            reason = f"a queue of {size} is not full before the end of {facts.steps} steps of {facts.batch}"
            raise RecipeError(
                f"{reason}, and nothing is made up of a queue that is not",
                path="queue",
                hint=f"set method.queue to {max(1, passed // 4)} or less, or optim.steps to {filled + 1} or more",
            )
        return [*self._sizes(facts), *self._teacher(facts, encoder)]

    def exported(self, encoder: Encoder) -> dict[str, nn.Module]:
        """Encoder, projector and the teacher of both."""
        return {**self._students(encoder), "teacher": self.teacher}

    def _students(self, encoder: Encoder) -> dict[str, nn.Module]:
        return {"encoder": encoder, "projector": self.projector}

    def _sizes(self, facts: Facts) -> list[str]:
        size, notes = self.queue.size, []
        if size > facts.scans:
            notes.append(
                f"method.queue of {size} is larger than the {facts.scans} scans: it holds several vectors of a scan;"
                " those of a query's own patient are left out"
            )
        if size > facts.batch * facts.steps:
            notes.append(f"method.queue of {size} is never full in {facts.steps} steps of {facts.batch}")
        if size < facts.batch:
            notes.append(f"method.queue of {size} is smaller than a step's {facts.batch} keys: the first ones are lost")
        return notes

    def _teacher(self, facts: Facts, encoder: Encoder) -> list[str]:
        notes, momentum = [], self.teacher.momentum
        if momentum**facts.steps > 0.5:
            notes.append(
                f"method.momentum of {momentum}: after {facts.steps} steps the teacher is still to"
                f" {momentum**facts.steps:.0%} what it was at the start;"
                f" {max(0.0, 1 - 10 / facts.steps):.3g} averages a tenth of the run"
            )
        if any(isinstance(part, _BatchNorm) for part in encoder.modules()):
            notes.append(
                "batch norms of the encoder let a query tell its key by the batch's statistics: prefer group or"
                " instance norm"
            )
        return notes


def check_taken(setting: str, taken: int, size: int) -> list[str]:
    """Refuse to take more of a queue than it has, and note where what is taken is hardly a choice.

    Args:
        setting: its name below the method.
        taken: rows.
        size: of the queue.

    Raises:
        RecipeError: the setting.
    """
    if taken > size:
        reason = f"expected at most the {size} rows of method.queue, got {taken}"
        raise RecipeError(reason, path=setting, hint=f"set method.{setting} to a few hundredths of the queue")
    if 4 * taken > size:
        return [f"method.{setting} of {taken} is more than a quarter of method.queue ({size}): hardly a choice"]
    return []


def steps_to_fill(size: int, facts: Facts) -> int:
    """Steps after which a queue is full.

    Example:
        >>> steps_to_fill(7, Facts(scans=9, patients=9, batch=3, steps=5))
        3
    """
    return math.ceil(size / max(1, facts.batch))
