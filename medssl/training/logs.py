"""Where the numbers of a run go: one CSV file, and TensorBoard beside it."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medssl.atomic import make_folder, write_text
from medssl.errors import InputError, from_os_error


class MetricsFile:
    """``metrics.csv``: a row a step, with the columns ``step``, ``stage`` and one for each number.

    A row is one write; a new column rewrites the file through a temporary one.

    Args:
        path: the file.
        first_step: rows of this step and later are dropped (a run that goes on makes them again).
    """

    def __init__(self, path: str | Path, first_step: int = 0) -> None:
        self.path = Path(path)
        self._columns = ["step", "stage"]
        rows = [row for row in _rows(self.path) if int(row["step"]) < first_step] if self.path.exists() else []
        self._rewrite(rows)

    def write(self, step: int, stage: str, numbers: Mapping[str, float]) -> None:
        """Append one row."""
        if any(name not in self._columns for name in numbers):
            self._rewrite(_rows(self.path), list(numbers))
        row = {"step": step, "stage": stage, **{name: repr(float(value)) for name, value in numbers.items()}}
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(handle, self._text([row]).encode())
            finally:
                os.close(handle)
        except OSError as error:
            raise from_os_error(error, self.path, writing=True) from error

    def _rewrite(self, rows: list[dict[str, str]], names: list[str] | None = None) -> None:
        for name in [*(rows[0] if rows else ()), *(names or ())]:
            if name not in self._columns:
                self._columns.append(name)
        make_folder(self.path.parent)
        write_text(self.path, ",".join(self._columns) + "\n" + self._text(rows))

    def _text(self, rows: list[Any]) -> str:
        out = io.StringIO()
        csv.DictWriter(out, self._columns, lineterminator="\n").writerows(rows)
        return out.getvalue()


def read_metrics(path: str | Path) -> dict[str, list[Any]]:
    """The columns of ``metrics.csv``: ``step`` as int, ``stage`` as text, numbers as float (NaN where empty)."""
    rows = _rows(Path(path))
    out: dict[str, list[Any]] = {name: [] for name in (rows[0] if rows else ("step", "stage"))}
    for row in rows:
        for name, text in row.items():
            value: Any = text
            if name == "step":
                value = int(text)
            elif name != "stage":
                value = float(text) if text else math.nan
            out[name].append(value)
    return out


class TensorBoard:
    """The same numbers for TensorBoard.

    Args:
        folder: where its event files go.
        first_step: numbers of this step and later, from before a restart, are hidden.
    """

    def __init__(self, folder: str | Path, first_step: int = 0) -> None:
        # imported here: it takes a second, and only runs that train need it
        from torch.utils.tensorboard.writer import SummaryWriter

        purge = first_step if first_step > 0 else None
        self._writer: Any = SummaryWriter(str(folder), purge_step=purge, flush_secs=30)

    def write(self, step: int, stage: str, numbers: Mapping[str, float]) -> None:
        """Add the numbers of a step."""
        for name, value in numbers.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)

    def histogram(self, step: int, name: str, counts: Sequence[int]) -> None:
        """Add counts over equal bins of [−1, 1]."""
        width = 2 / len(counts)
        middle = [-1 + (n + 0.5) * width for n in range(len(counts))]
        self._writer.add_histogram_raw(
            name,
            min=-1.0,
            max=1.0,
            num=sum(counts),
            sum=sum(count * value for count, value in zip(counts, middle, strict=True)),
            sum_squares=sum(count * value**2 for count, value in zip(counts, middle, strict=True)),
            bucket_limits=[value + width / 2 for value in middle],
            bucket_counts=list(counts),
            global_step=step,
        )

    def text(self, step: int, name: str, text: str) -> None:
        """Add words."""
        self._writer.add_text(name, text, step)

    def close(self) -> None:
        """Write out what is waiting."""
        self._writer.close()


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise from_os_error(error, path) from error
    # a row that was cut off by a crash lacks columns
    whole = [row for row in rows if row.get("step", "").isdigit() and None not in row and None not in row.values()]
    if len(rows) - len(whole) > 1:
        raise InputError("rows are cut off or have too many columns", path=path, code="run")
    return whole
