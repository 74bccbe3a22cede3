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
    from medssl.commands.runs import METRICS, RECIPE, RUN
    from medssl.errors import InputError
    from medssl.reporting.run_report import build_run_report

    folder = Path(run)
    if folder.is_dir() and not any((folder / name).exists() for name in (RECIPE, RUN, METRICS)):
        reason = f"expected a run folder with {RECIPE}, {RUN} or {METRICS}, there is none of them"
        raise InputError(reason, path=run, code="run", hint="give the folder that a run wrote")
    written = build_run_report(run, out)
    return {"run": str(run), "written": str(written), "bytes": written.stat().st_size}
