"""Views changed on the training device train as views changed by the loader do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from medssl.training.fit import fit
from medssl.training.logs import read_metrics
from tests.training.tiny import VIEWS, make_method, make_plan, make_store


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_is_the_same_wherever_views_are_changed(tmp_path: Path, workers: int) -> None:
    store = make_store(tmp_path)
    views = replace(
        VIEWS, augment=({"name": "noise", "p": 0.7}, {"name": "gamma", "p": 1.0}, {"name": "blur", "p": 0.5})
    )

    def losses(where: Literal["loader", "device"], augmented: bool = True) -> list[float]:
        method = make_method()
        settings = views if augmented else VIEWS
        plan = make_plan(method, steps=4, workers=workers, augment_on=where)
        plan = replace(plan, stages=tuple(method.stages(4, settings)))
        out = tmp_path / f"{where}-{augmented}"
        fit(method, store, plan, out)
        return read_metrics(out / "metrics.csv")["loss"]

    there = losses("device")
    np.testing.assert_allclose(there, losses("loader"), rtol=1e-3)
    if not workers:
        assert not np.allclose(there, losses("loader", augmented=False), rtol=1e-2)
