"""``medssl report``: one self-contained HTML page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def report(run: str | Path, out: str | Path | None = None) -> dict[str, Any]:
    """Write the page of a run folder.

    Args:
        run: the run folder.
        out: the page to write; ``report.html`` in the run folder without it.

    Returns:
        What was written: run, path, bytes.

    Raises:
        MedsslError: there is no such folder (``run``), or the page cannot be written (``disk``, ``unreadable``).
    """
    from medssl.reporting.run_report import build_run_report

    written = build_run_report(run, out)
    return {"run": str(run), "written": str(written), "bytes": written.stat().st_size}
