"""What the demo knows while it runs, and what its steps came to."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medssl.commands.runs import Progress

FAMILIES = {"simclr": "contrastive", "spark": "masked", "voco": "region"}
"""Method → its family: one of each."""

SCRATCH = "scratch"
COMMANDS = (
    "medssl manifest build path/to/scans scans.csv",
    "medssl pretrain demo/pretrain_voco out=runs/voco data.manifest=scans.csv optim.steps=10000",
    "medssl finetune demo/finetune_segment out=runs/organs init=runs/voco/weights data.manifest=labelled.csv",
)
"""The same on one's own data."""


@dataclass
class Demo:
    """What the demo knows while it runs.

    Args:
        out: where everything goes.
        quick: the short form.
        phantoms: made-up anatomy.
        seed: of every run.
        progress: told about every step.
        seconds: step → how long it took.
        runs: name → what the run said of itself.
        scores: initialisation → task → what ``evaluate`` said.
    """

    out: Path
    quick: bool
    phantoms: bool
    seed: int
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step."""
        self.progress(0, 1, name)
        start = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
        self.progress(1, 1, name)


def table_of(run: Demo) -> list[dict[str, Any]]:
    """One row an initialisation: mean Dice, Dice by class, AUC over crops, seconds of fine-tuning."""
    rows = []
    for init, scores in run.scores.items():
        dice = {name: found["mean"] for name, found in scores["segment"]["dice"].items()}
        took = sum(run.runs[f"{task}_{init}"]["seconds"] for task in ("segment", "classify"))
        rows.append(
            {
                "init": init,
                "mean_dice": scores["segment"]["mean_dice"]["mean"],
                "dice": dice,
                "auc": scores["classify"]["crop_auc"]["mean"],
                "finetune_seconds": round(took, 1),
            }
        )
    return rows


def peak_memory_bytes() -> int:
    """The largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
