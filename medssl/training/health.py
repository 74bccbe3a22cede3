"""Looks at how a run is doing, whatever the method: rank, spread, alignment, uniformity, and who resembles whom.

Two things are looked at. The encoder's pooled outputs of the last steps, which every method has, are caught while it
works. The vectors that a method compares (``Method.embedded``) are those of the step. Rows of all processes are
gathered; looking draws no number and changes none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medssl.methods.contract import Context, Method, Vectors
from medssl.objectives.cosine import cosine
from medssl.objectives.health import (
    alignment,
    deviation,
    effective_rank,
    finite,
    mean_exponential,
    pair_health,
    uniformity,
)
from medssl.pairing.members import Members, members_of, together
from medssl.pairing.pairs import kinds
from medssl.training.collapse import TOGETHER, Story, warnings_of
from medssl.training.histograms import Histograms
from medssl.training.window import Catch, Window
from medssl.views.view import Batch

PREFIX = "health_"
"""In front of every number of a look, in ``metrics.csv`` and TensorBoard."""

MOST = 512
"""Embeddings that a look takes; of more, the first samples' are taken."""

HIDDEN = ("step", "samples", "rows", "room", "positive_pairs", "same_patient_pairs", "other_patient_pairs")
"""What only the rules need."""


@dataclass(frozen=True)
class Look:
    """What one look found.

    Args:
        step: the step that it was taken after.
        stage: of that step.
        numbers: name to value; what cannot be told is left out.
        histograms: kind of pair to ``(bins,)`` counts of similarities over [−1, 1].
        warnings: what has just been found wrong, a sentence each.
    """

    step: int
    stage: str
    numbers: dict[str, float]
    histograms: dict[str, Tensor] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Health:
    """The health of a run over its steps; goes on where ``plain`` left it.

    Args:
        every: steps from one look to the next; the first and the last step of the run are looked at, too. 0: never.
        total: steps of the run.
        state: what ``plain`` gave, or empty.
    """

    def __init__(self, every: int, total: int, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self.every, self.total = every, total
        self.window = Window(state.get("window"))
        self.warned: dict[str, str] = dict(state.get("warned", {}))
        self.last: Look | None = None
        self._looks: list[dict[str, float]] = [dict(look) for look in state.get("looks", ())]
        self._best: dict[str, float] = dict(state.get("best", {}))
        self._catch = Catch()
        self._histograms = Histograms(state.get("histograms", ()))

    @contextmanager
    def catching(self, method: Method) -> Iterator[None]:
        """Around the encoding of a step."""
        if not self.every:
            yield
            return
        with self._catch.during(method):
            yield

    def encoded(self) -> None:
        """The whole batch has been encoded once; more passes over it say nothing new."""
        self._catch.enough()

    @torch.no_grad()
    def after(self, batch: Batch, vectors: Vectors, method: Method, ctx: Context) -> dict[str, float]:
        """Take a step in, on all processes alike; on every few steps, look.

        Args:
            batch: of this process.
            vectors: what ``encode`` gave for it.
            method: what is trained.
            ctx: its gather and stage.

        Returns:
            The numbers of a look for ``metrics.csv``, empty between looks. The look itself is ``last``.
        """
        if not self.every:
            return {}
        rows = self._catch.gathered(ctx.gather)
        if rows is not None:
            self.window.add(rows)
        if batch.step % self.every and batch.step != self.total - 1:
            return {}
        embedded = _embedded(method, vectors, batch, ctx.gather)
        # half precision around a step ends here
        with torch.autocast("cpu", enabled=False):
            self._look(batch.step, ctx.stage, embedded, method)
        assert self.last is not None  # noqa: S101  the line above has made it
        return {PREFIX + name: value for name, value in self.last.numbers.items()}

    def plain(self) -> dict[str, Any]:
        """What a checkpoint must hold of it."""
        return {
            "window": self.window.rows(),
            "warned": self.warned,
            "looks": self._looks,
            "best": self._best,
            "histograms": self._histograms.plain(),
        }

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What the run folder holds of it: see ``Histograms.arrays``, and ``warnings``; empty without any."""
        warned = {"warnings": np.array(list(self.warned.values()), dtype=np.str_)} if self.warned else {}
        return {**self._histograms.arrays(), **warned}

    def summary(self) -> dict[str, float]:
        """The numbers of the last look and its step; empty without one."""
        if not self._looks:
            return {}
        last = self._looks[-1]
        return {"step": int(last["step"]), **{name: value for name, value in last.items() if name not in HIDDEN}}

    def _look(self, step: int, stage: str, embedded: tuple[Tensor, Members] | None, method: Method) -> None:
        told = _of_outputs(self.window.rows())
        histograms: dict[str, Tensor] = {}
        if embedded is not None:
            numbers, histograms = _of_embeddings(*embedded, method)
            told |= numbers
        told = {name: value for name, value in told.items() if math.isfinite(value)}
        self._looks = [*self._looks[1 - TOGETHER :], {"step": float(step), **told}]
        self._best |= {name: max(value, self._best.get(name, value)) for name, value in told.items()}
        story = Story(self._looks, self._best, (step + 1) / self.total, method.views_agree)
        new = {name: text for name, text in warnings_of(story).items() if name not in self.warned}
        self.warned |= new
        if histograms:
            self._histograms.add(step, stage, histograms)
        shown = {name: value for name, value in told.items() if name not in HIDDEN}
        self.last = Look(step, stage, shown, histograms, tuple(new.values()))


def _embedded(
    method: Method, vectors: Vectors, batch: Batch, gather: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Members] | None:
    """The compared vectors of all processes ``(n, d)`` float32 on the CPU, and whose they are."""
    found = dict(method.embedded(vectors, batch))
    for role in batch.roles if found else ():
        # where one view of a pair is encoded by the teacher alone, its vector is the other half of the comparison
        target = vectors.get(f"{role}_teacher")
        if role not in found and target is not None and target.ndim == 2 and len(target) == len(batch[role]):
            found[role] = target
    width = next((rows.shape[-1] for rows in found.values()), 0)
    parts: list[Tensor] = []
    whose: list[Members] = []
    for role, rows in found.items():
        if rows.shape[-1] == width:
            every, who = gather(rows.detach().float()), members_of(batch, role, gather)
            several = every.unbind(1) if every.ndim == 3 else (every,)
            parts += several
            whose += [who] * len(several)
    if not parts:
        return None
    rows, table = torch.cat(parts).cpu(), together(*whose).table().cpu()
    if len(rows) > MOST:
        first = torch.argsort(table[:, 0], stable=True)[:MOST].sort().values
        rows, table = rows[first], table[first]
    good = rows.isfinite().all(dim=1)
    return rows[good], Members.of_table(table[good])


def _of_outputs(rows: Tensor) -> dict[str, float]:
    """Of the encoder's outputs ``(n, width)``."""
    rows, _ = finite(rows)
    if len(rows) < 2:
        return {}
    return {
        "rank": effective_rank(rows),
        "rank_centred": effective_rank(rows, centred=True),
        "spread": float(deviation(rows).mean()),
        "rows": float(len(rows)),
    }


def _of_embeddings(rows: Tensor, who: Members, method: Method) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Of the vectors ``(n, d)`` that a method compares: numbers, and counts by kind of pair."""
    if len(rows) < 2:
        return {}, {}
    told = {
        "embedding_rank": effective_rank(rows),
        "embedding_spread": float(deviation(rows).mean()),
        "uniformity": uniformity(rows),
        "samples": float(len(torch.unique(who.sample))),
        "room": float(min(rows.shape)),
    }
    # every pair once
    pairs = {kind: chosen.triu(1) for kind, chosen in kinds(who).items()}
    similarity = cosine(rows, rows)
    found = pair_health(similarity, pairs)
    for kind, health in found.items():
        told |= {kind: health.mean, f"{kind}_variance": health.variance, f"{kind}_pairs": float(health.count)}
    one, two = pairs["positive"].nonzero(as_tuple=True)
    if method.views_agree and len(one):
        told["alignment"] = alignment(rows[one], rows[two])
    temperature = getattr(method, "temperature", None)
    if isinstance(temperature, float | int) and temperature > 0:
        for kind in ("positive", "other_patient"):
            told[f"log_mean_exp_{kind}"] = mean_exponential(similarity, pairs[kind], temperature)
    return told, {kind: health.histogram for kind, health in found.items() if health.count}
