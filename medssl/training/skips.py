"""Steps that are left out: why, of which scans, how many, and when it is enough."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from medssl.atomic import make_folder, write_text
from medssl.errors import InputError, MedsslError, UsageError, from_os_error
from medssl.training.gather import gather
from medssl.views.view import Batch, Views

Why = Literal["values", "empty", "loss", "overflow"]

WORDS: dict[Why, str] = {
    "values": "values of a view that are not finite",
    "empty": "a batch that says nothing to the objective",
    "loss": "a loss or gradient that is not finite",
    "overflow": "gradients beyond float16, whose scale was lowered",
}
"""Why a step is left out, in words."""

PATIENCE = 10
"""Steps in a row that may be left out before the run stops."""

SCALES = 40
"""The same for gradients beyond float16: from 2¹⁶ so many halvings lead to a scale at which nothing can overflow."""

LINES = 1000
"""Rows of ``skipped.csv``; further ones are counted and not listed."""

NAMES = 16
"""Scans that are named of one step."""


@dataclass
class Tally:
    """What a run counts, beside its steps.

    Args:
        counts: steps that were left out, by reason.
        in_row: how many of them stand directly before this step.
    """

    counts: dict[Why, int] = field(default_factory=lambda: dict.fromkeys(WORDS, 0))
    in_row: int = 0

    @property
    def skipped(self) -> int:
        """Steps that were left out in all."""
        return sum(self.counts.values())

    def to_plain(self) -> dict[str, float]:
        """As it stands in a checkpoint."""
        found = {f"skipped_{why}": float(count) for why, count in self.counts.items()}
        return {**found, "skipped": float(self.skipped), "in_row": float(self.in_row)}

    @classmethod
    def from_plain(cls, counts: Mapping[str, float]) -> Tally:
        """From a checkpoint; one that tells no reasons knew of losses alone.

        Example:
            >>> Tally.from_plain({"skipped": 2.0, "in_row": 1.0}).counts["loss"]
            2
        """
        found: dict[Why, int] = {why: int(counts.get(f"skipped_{why}", 0)) for why in WORDS}
        found["loss"] += int(counts.get("skipped", 0)) - sum(found.values())
        return cls(found, int(counts.get("in_row", 0)))

    def left_out(self, why: Why, step: int, scans: Sequence[str], told: MedsslError | None = None) -> None:
        """Count a step that was left out.

        Args:
            why: the reason.
            step: which one.
            scans: their names.
            told: what the method said of an empty batch.

        Raises:
            MedsslError: too many in a row.
        """
        self.counts[why] += 1
        self.in_row += 1
        if self.in_row > (SCALES if why == "overflow" else PATIENCE):
            raise _too_many(why, self.in_row, step, scans, told)


def _too_many(why: Why, count: int, step: int, scans: Sequence[str], told: MedsslError | None) -> MedsslError:
    last = f"in {count} steps in a row, last at step {step} with {', '.join(scans) or 'unknown scans'}"
    if why == "empty":
        reason = told.reason if told is not None else WORDS[why]
        hint = told.hint if told is not None else None
        return UsageError(f"there was nothing to learn {last}: {reason}", code="batch", hint=hint)
    if why == "values":
        hint = "check these scans, and the augmentations of views.augment"
        return InputError(f"views held values that are not finite {last}", code="values", hint=hint)
    if why == "overflow":
        hint = "use hardware.precision: bf16-mixed or 32-true"
        return InputError(f"gradients left the range of float16 at every scale {last}", code="diverged", hint=hint)
    hint = "lower optim.lr, set optim.clip, or check the scans"
    return InputError(f"the loss or its gradient was not finite {last}", code="diverged", hint=hint)


def refuse_untrained(tally: Tally, steps: int) -> None:
    """Refuse a run that has left out every one of its steps: its weights are those that it began with.

    Raises:
        InputError: with the code of the commonest reason.
    """
    if tally.skipped < steps:
        return
    why = max(tally.counts, key=lambda reason: tally.counts[reason])
    code = {"values": "values", "empty": "batch"}.get(why, "diverged")
    reason = f"nothing was learned, all {steps} steps were left out: {_parts(tally)}"
    raise InputError(reason, code=code, hint="skipped.csv in the run's folder names the scans")


def views_are_finite(batch: Batch) -> bool:
    """Whether every view of every process holds finite numbers only; one wait for the device.

    A batch norm, a queue or a teacher that has seen a NaN keeps it, so this is asked before anything is encoded.
    """
    ends = [torch.stack(torch.aminmax(views.image.detach())).float() for views in batch.roles.values() if len(views)]
    if not ends:
        return True
    finite = torch.isfinite(torch.stack(ends)).all().int()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(finite, dist.ReduceOp.MIN)
    return bool(finite)


def records_of(batch: Batch, damaged: bool) -> list[int]:
    """The scans of a step on all processes: ids of name ``record``, each once; -1 where unknown.

    Args:
        batch: of this process; all processes ask together.
        damaged: only those that have a view whose values are not finite.
    """
    found = [_records(views, damaged) for views in batch.roles.values()]
    return sorted(set(gather(torch.cat(found)).tolist()))


def _records(views: Views, damaged: bool) -> Tensor:
    records = views.ids.get("record", torch.full_like(views.owner, -1))
    return records[~torch.isfinite(views.image).flatten(1).all(1)] if damaged else records


class SkipLog:
    """``skipped.csv``: a row for every step that was left out, with the scans it was about.

    Args:
        path: the file; made with the first row.
        first_step: rows of this step and later are dropped (a run that goes on makes them again).
    """

    def __init__(self, path: str | Path, first_step: int = 0) -> None:
        self.path = Path(path)
        self._rows = [row for row in _read(self.path) if int(row[0]) < first_step]

    def write(self, step: int, stage: str, why: Why, scans: Sequence[str]) -> None:
        """Add a step."""
        if len(self._rows) >= LINES:
            return
        more = [f"and {len(scans) - NAMES} more"] if len(scans) > NAMES else []
        self._rows.append([str(step), stage, WORDS[why], "; ".join([*scans[:NAMES], *more])])
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([_COLUMNS, *self._rows])
        make_folder(self.path.parent)
        write_text(self.path, out.getvalue())


_COLUMNS = ["step", "stage", "reason", "scans"]


def _read(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.reader(file) if len(row) == len(_COLUMNS) and row[0].isdigit()]
    except OSError as error:
        raise from_os_error(error, path) from error


def summary_of(tally: Tally) -> list[str]:
    """A line for a run's notes, if any step was left out.

    Example:
        >>> tally = Tally()
        >>> tally.left_out("empty", 4, ["a"])
        >>> summary_of(tally)
        ['1 step was left out: 1 for a batch that says nothing to the objective; skipped.csv names the scans']
    """
    if not tally.skipped:
        return []
    words = "step was" if tally.skipped == 1 else "steps were"
    return [f"{tally.skipped} {words} left out: {_parts(tally)}; skipped.csv names the scans"]


def _parts(tally: Tally) -> str:
    return ", ".join(f"{count} for {WORDS[why]}" for why, count in tally.counts.items() if count)
