"""What a check finds: problems with their lines and codes, in a stable order, and the scans that stand twice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from medssl.errors import one_line


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong.

    Args:
        line: line of the manifest, 0 for the file as a whole.
        code: a key of ``CODES``.
        reason: in one line.
        severity: ``error`` or ``warning``.
        file: the manifest.
    """

    line: int
    code: str
    reason: str
    severity: str = "error"
    file: str = ""

    def __str__(self) -> str:
        mark = "warning: " if self.severity == "warning" else ""
        return one_line(f"{self.file}:{self.line}: {mark}{self.reason} [{self.code}]")


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Args:
        path: the manifest.
        rows: rows that can be read.
        patients: different patients among them.
        problems: sorted by line.
        duplicates: lines of rows that hold one and the same scan, a group each.
        deep: whether voxels were read.
    """

    path: str
    rows: int
    patients: int
    problems: tuple[Problem, ...]
    duplicates: tuple[tuple[int, ...], ...] = ()
    deep: bool = True

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return not any(problem.severity == "error" for problem in self.problems)

    def plain(self) -> dict[str, Any]:
        """The report as JSON-able data."""
        return {
            "path": self.path,
            "rows": self.rows,
            "patients": self.patients,
            "deep": self.deep,
            "ok": self.ok,
            "problems": [asdict(problem) for problem in self.problems],
            "duplicates": [list(group) for group in self.duplicates],
        }
