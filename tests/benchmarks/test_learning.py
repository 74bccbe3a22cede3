"""The table of what learns: every recipe is taken, and what it says of answers is what they are."""

from __future__ import annotations

import numpy as np
import pytest

from medssl.methods import METHODS
from medssl.plain_yaml import load_yaml
from tests.benchmarks.learning import markdown, table_rows
from tests.benchmarks.learning_settings import overrides, probe_of, recipes


def test_every_recipe_is_taken_and_has_a_probe() -> None:
    found = recipes()
    assert {"simclr", "spark", "mae", "voco"} <= set(found)
    for name, path in found.items():
        plain = load_yaml(path)
        assert probe_of(name, plain["method"]["name"]) in ("pooled", "voxel")
        assert any(word.startswith("views.crop=") for word in overrides(name, plain["encoder"]["name"], None))
    assert probe_of("spark", "spark") == "voxel"
    assert probe_of("simclr", "simclr") == "pooled"
    assert set(METHODS) >= {"spark", "simclr"}
    with pytest.raises(SystemExit, match="no recipe is named simclear"):
        recipes(["simclear"])


def result(seed: int, after: float) -> dict:
    rng = np.random.default_rng(seed)
    truth = np.tile([1, 2], 60)
    said = {
        when: np.where(rng.random(120) < share, truth, 3 - truth).tolist()
        for when, share in (("random", 0.6), ("trained", after))
    }
    one = {"truth": truth.tolist(), "patients": np.repeat(range(20), 6).tolist(), **said}
    facts = {"data": "textures", "name": "simclr", "seed": seed, "method": "simclr", "encoder": {"name": "resenc"}}
    return {**facts, "probe": "pooled", "probes": {"pooled": one, "voxel": one}, "seconds": 2.0}


@pytest.mark.parametrize(("after", "verdict"), [(0.95, "learned"), (0.6, "not shown"), (0.2, "worse than random")])
def test_the_verdict_is_where_the_interval_lies(after: float, verdict: str) -> None:
    rows = table_rows([result(seed, after) for seed in range(3)])
    assert [row["verdict"] for row in rows] == [verdict]
    assert f"| {verdict} | 2 |" in markdown(rows)


def test_a_run_that_failed_stands_in_the_table() -> None:
    failed = {"data": "textures", "name": "simclr", "seed": 2, "error": "too few scans"}
    rows = table_rows([result(0, 0.9), result(1, 0.9), failed])
    assert rows[0]["verdict"] == "failed: too few scans"
    assert "failed: too few scans" in markdown(rows)
