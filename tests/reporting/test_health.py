"""The health of a run, as its report tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medssl.reporting.health import similarities
from medssl.reporting.run_folder import read_run
from medssl.reporting.run_report import build_run_report
from tests.reporting.browser import check_page, find_browser
from tests.reporting.samples import parse_svg, write_health, write_run

WARNING = "at step 30 the run has collapsed: <b> all views are nearly one vector"


def test_curves_histograms_and_numbers_stand_in_a_section_of_their_own(tmp_path: Path):
    folder = write_health(write_run(tmp_path / "run", "simclr"))
    html = build_run_report(folder).read_text(encoding="utf-8")
    shown = ("Health of the vectors", "effective rank of the encoder", "early, step 0", "late, step 30", "same patient")
    assert [words for words in shown if words not in html] == []
    assert "views of one scan 0.75 on average" in html
    assert "<td>0.9</td>" in html
    assert "health_" not in html
    assert 'role="note"' not in html


def test_warnings_stand_on_top_of_the_section_and_are_escaped(tmp_path: Path):
    folder = write_health(write_run(tmp_path / "run", "simclr"), [WARNING, "at step 40 something else."])
    html = build_run_report(folder).read_text(encoding="utf-8")
    assert html.count('role="note"') == 2
    assert "At step 30 the run has collapsed: &lt;b&gt; all views are nearly one vector.</p>" in html
    assert html.index("Health of the vectors</h2>") < html.index("At step 30") < html.index("effective rank of the enc")


def test_the_runs_own_numbers_are_in_no_panel_of_what_was_learned(tmp_path: Path):
    html = build_run_report(write_health(write_run(tmp_path / "run", "simclr"))).read_text(encoding="utf-8")
    learned = html.split("What was learned</h2>")[1].split("Health of the vectors</h2>")[0]
    assert "rank" not in learned
    assert "similarity positive and negative" in learned


def test_a_run_that_was_not_looked_at_has_no_section(tmp_path: Path):
    html = build_run_report(write_run(tmp_path / "run", "simclr")).read_text(encoding="utf-8")
    assert "Health of the vectors" not in html


def test_a_damaged_file_and_one_that_would_run_code_are_told(tmp_path: Path):
    folder = write_health(write_run(tmp_path / "run", "simclr"))
    for content in ("damaged", "object"):
        if content == "damaged":
            (folder / "health.npz").write_bytes((folder / "health.npz").read_bytes()[:90])
        else:
            np.savez(folder / "health.npz", step=np.array([{"a": 1}], dtype=object))
        run = read_run(folder)
        assert run.health == {}
        assert run.missing == ("health.npz cannot be read.",)
        assert "effective rank of the encoder" in build_run_report(folder).read_text(encoding="utf-8")


def test_histograms_of_one_look_of_none_and_without_pairs():
    assert similarities({}) is None
    assert similarities({"step": np.array([0])}) is None
    counts = np.zeros((1, 40), dtype=np.int64)
    empty = similarities({"step": np.array([5]), "positive": counts})
    assert empty is not None
    assert empty.pictures[0].alt == "step 5: no pairs"
    counts[0, 39] = 3
    (picture,) = similarities({"step": np.array([5]), "positive": counts}).pictures  # type: ignore[union-attr]
    assert picture.alt == "step 5: views of one scan 0.95 on average"
    assert parse_svg(picture.image).tag.endswith("svg")


@pytest.mark.parametrize("width", [420, 1200])
def test_a_browser_shows_the_section_at_any_width(tmp_path: Path, width: int):
    browser = find_browser()
    if browser is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome on PATH")
    folder = write_health(write_run(tmp_path / "run", "simclr"), [WARNING])
    found = check_page(build_run_report(folder), browser, width)
    assert found.images >= 8
    assert (found.broken, found.errors, found.console) == ([], [], [])
    assert found.overflow <= 0
