"""Plain recipes of the smallest runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ENCODER = {"name": "resenc", "widths": [4, 8, 8], "blocks": [1, 1, 1], "strides": [1, 2, 2]}


def recipe(scans: Path, out: Path, **sections: Any) -> dict[str, Any]:
    """A recipe on the scans of ``tests.training.tiny`` for 2 steps, with a few sections changed."""
    return {
        "out": str(out),
        "encoder": ENCODER,
        "data": {"manifest": str(scans / "manifest.csv"), "store": str(scans / "store"), "split": "train"},
        "views": {"crop": [16, 16, 16]},
        "optim": {"steps": 2, "batch": 2},
        "keep": {"tensorboard": False},
        **sections,
    }


def simclr(scans: Path, out: Path, **sections: Any) -> dict[str, Any]:
    """The smallest pretraining."""
    method = {"name": "simclr", "hidden": 8, "outputs": 4}
    return recipe(scans, out, method=method, **sections)
