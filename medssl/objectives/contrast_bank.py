"""The generic contrastive objective over a bank of vectors, without ever holding the whole matrix of similarities.

Rows are taken a few at a time: their similarities to the bank, their losses and at once the gradient of both sides, so
that neither similarities nor gradients of N × M are kept and nothing is computed twice. Values are those of
``contrastive.contrast`` on ``query @ bank.T / temperature`` (see there for the formula and for what is which paper).
Besides the bank a row may have columns of its own: the key of MoCo (arXiv 1911.05722), or the mixed negatives of MoCHi
(arXiv 2010.01028).

Across processes: gather the queries, ids and own columns (differentiably), and let the bank be the same on all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medssl.objectives.contrast_rows import Columns, Form, Others, Rule, row_losses
from medssl.objectives.contrastive import ContrastLog, Tally, check_rows, tally, weight_sum, weights_of

Weights = tuple[Tensor | None, Tensor | None]
Pairs = Callable[[slice], Weights]

ENTRIES_OF_A_THREAD = 2**21
"""Similarities that are held at a time on a processor, for each thread: what stays near it."""
ENTRIES_OF_A_DEVICE = 2**25
"""The same on an accelerator: enough to keep it busy."""


@dataclass(frozen=True)
class Own:
    """Columns that a row has for itself.

    Args:
        similarity: ``(N, E)`` similarities, not yet divided by the temperature; may have a gradient.
        positive: ``(N, E)`` W⁺, bool or ≥ 0.
        negative: ``(N, E)`` W⁻, bool or ≥ 0.
    """

    similarity: Tensor
    positive: Tensor
    negative: Tensor


def all_negative(rows: slice) -> Weights:
    """Every vector of the bank is a negative of every row."""
    return None, None


def contrast_bank(
    query: Tensor,
    bank: Tensor,
    *,
    temperature: float,
    pairs: Pairs = all_negative,
    own: Own | None = None,
    coupled: bool = True,
    form: Form = "inside",
    others: Others = "own",
    pull: Tensor | None = None,
    row_weight: Tensor | None = None,
    entries: int | None = None,
) -> tuple[Tensor, ContrastLog]:
    """The mean over the rows that have a positive and a negative, as ``contrast`` gives it; 0 where no row has both.

    Vectors are compared as they come: give unit vectors (``cosine.unit``) for cosine similarity. Computed in float32
    (float64 stays), also under autocast; the gradient reaches ``query``, ``bank`` and ``own.similarity``, once.

    Args:
        query: ``(N, d)``.
        bank: ``(M, d)``; M may be 0.
        temperature: what similarities are divided by.
        pairs: a slice of rows to W⁺ and W⁻ of those rows, ``(rows, M)``, bool or ≥ 0; None for W⁺ says that the bank
            holds no positive, None for W⁻ that all of it is negative with weight 1.
        own: further columns of each row.
        coupled: as for ``contrast``.
        form: as for ``contrast``.
        others: as for ``contrast``.
        pull: as for ``contrast``.
        row_weight: as for ``contrast``.
        entries: similarities that are held at a time, at least one row of them; None suits the device.

    Raises:
        ValueError: shapes differ, the temperature is not positive, or ``form`` or ``others`` is unknown.

    Example:
        InfoNCE of equal vectors with a key and a bank of K: log(K + 1).

        >>> q = torch.ones(4, 1)
        >>> one, zero = torch.ones(4, 1), torch.zeros(4, 1)
        >>> loss, _ = contrast_bank(q, torch.ones(7, 1), temperature=0.1, own=Own(one, one, zero))
        >>> torch.allclose(loss, torch.tensor(8.0).log())
        True
    """
    if query.ndim != 2 or bank.ndim != 2 or query.shape[1] != bank.shape[1]:
        raise ValueError(f"query (N, d) and bank (M, d) must fit, got {tuple(query.shape)} and {tuple(bank.shape)}")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    check_rows(len(query), pull=pull, row_weight=row_weight)
    _check_own(own, len(query))
    rows, vectors = _lift(query), _lift(bank)
    held = _entries(rows.device) if entries is None else entries
    job = _Job(Rule(coupled, form, others), pairs, own, pull, row_weight, held, torch.is_grad_enabled())
    shown = rows.new_zeros(len(rows), 0) if own is None else own.similarity.to(rows.dtype) / temperature
    total: Tensor = _Bank.apply(rows / temperature, vectors, shown, job)  # type: ignore[no-untyped-call]
    return total / weight_sum(job.weights), job.tallied().log()


class _Job:
    """What a pass over the rows is told, and what it leaves beside the loss."""

    def __init__(
        self,
        rule: Rule,
        pairs: Pairs,
        own: Own | None,
        pull: Tensor | None,
        row_weight: Tensor | None,
        entries: int,
        with_gradient: bool,
    ) -> None:
        self.rule = rule
        self.pairs = pairs
        self.own = own
        self.pull = pull
        self.row_weight = row_weight
        self.entries = entries
        self.with_gradient = with_gradient
        self.weights = torch.zeros(0)
        self.tallies: list[Tally] = []

    def slices(self, count: int, columns: int) -> list[slice]:
        """Rows that are taken together."""
        step = max(1, self.entries // max(1, columns))
        return [slice(start, min(start + step, count)) for start in range(0, max(1, count), step)]

    def blocks(self, rows: slice, scores: Tensor, shown: Tensor) -> list[Columns]:
        """The columns of these rows."""
        positive, negative = self.pairs(rows)
        for name, weight in (("W⁺", positive), ("W⁻", negative)):
            if weight is not None and weight.shape != scores.shape:
                raise ValueError(f"pairs must give {name} of shape {tuple(scores.shape)}, got {tuple(weight.shape)}")
        blocks = [Columns(scores, positive, negative)]
        if self.own is not None:
            blocks.append(Columns(shown, self.own.positive[rows], self.own.negative[rows]))
        return blocks

    def losses(self, rows: slice, blocks: list[Columns]) -> tuple[Tensor, Tensor]:
        """The weighted sum over these rows, and their weights."""
        part = row_losses(blocks, self.rule, None if self.pull is None else self.pull[rows])
        self.tallies.append(tally(part, blocks))
        weight = weights_of(part, None if self.row_weight is None else self.row_weight[rows])
        return (weight * part.loss).sum(), weight

    def tallied(self) -> Tally:
        """Over all rows."""
        first, *others = self.tallies
        return sum(others, first)


class _Bank(torch.autograd.Function):
    """Σ rᵢLᵢ, whose gradient is made in the forward pass, where the similarities are."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, bank: Tensor, shown: Tensor, job: _Job) -> Tensor:
        wanted = [job.with_gradient and needed for needed in ctx.needs_input_grad[:3]]
        grads = [torch.zeros_like(t) if w else None for t, w in zip((query, bank, shown), wanted, strict=True)]
        total, weights = query.new_zeros(()), []
        slices = job.slices(len(query), len(bank))
        # one buffer for all slices: fresh pages cost more than the product itself
        buffer = query.new_empty(slices[0].stop, len(bank))
        with torch.autocast(query.device.type, enabled=False):
            for rows in slices:
                scores = torch.mm(query[rows], bank.T, out=buffer[: rows.stop - rows.start])
                with torch.set_grad_enabled(any(wanted)):
                    leaves = [leaf.detach().requires_grad_(any(wanted)) for leaf in (scores, shown[rows])]
                    part, weight = job.losses(rows, job.blocks(rows, leaves[0], leaves[1]))
                total += part.detach()
                weights.append(weight)
                if any(wanted):
                    _collect(part, leaves, grads, query[rows], bank, rows)
        job.weights = torch.cat(weights)
        ctx.save_for_backward(*(grad for grad in grads if grad is not None))
        ctx.wanted = wanted
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        return *(next(saved) * grad if wanted else None for wanted in ctx.wanted), None


def _collect(
    part: Tensor, leaves: list[Tensor], grads: list[Tensor | None], query: Tensor, bank: Tensor, rows: slice
) -> None:
    """Add the gradients of a slice of rows."""
    of_scores, of_shown = torch.autograd.grad(part, leaves, allow_unused=True, materialize_grads=True)
    of_query, of_bank, of_own = grads
    if of_query is not None:
        torch.mm(of_scores, bank, out=of_query[rows])
    if of_bank is not None:
        of_bank.addmm_(of_scores.T, query)
    if of_own is not None:
        of_own[rows] = of_shown


def _entries(device: torch.device) -> int:
    return ENTRIES_OF_A_THREAD * torch.get_num_threads() if device.type == "cpu" else ENTRIES_OF_A_DEVICE


def _lift(vectors: Tensor) -> Tensor:
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def _check_own(own: Own | None, count: int) -> None:
    if own is None:
        return
    shapes = [tuple(t.shape) for t in (own.similarity, own.positive, own.negative)]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2 or shapes[0][0] != count:
        raise ValueError(f"own columns must have one shape ({count}, E), got {shapes}")
