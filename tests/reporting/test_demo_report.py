from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medssl.errors import InputError
from medssl.reporting.demo_content import DemoContent, PretrainRun, Result
from medssl.reporting.demo_report import FEW, PHANTOMS, build_demo_report
from tests.reporting.samples import demo_content


def test_the_page_shows_every_step_and_says_what_it_does_not_show(tmp_path: Path):
    path = build_demo_report(tmp_path / "report.html", demo_content(tmp_path / "runs"))
    html = path.read_text(encoding="utf-8")
    for title in (
        "The scans",
        "What the check found",
        "What was left out, and why",
        "Pretraining",
        "Hidden and rebuilt",
        "Views in the body",
        "Positives and negatives",
        "Predictions against labels",
        "The table",
        "Time and memory",
        "The same with your own scans",
    ):
        assert f">{title}</a>" in html
    assert FEW in html
    assert PHANTOMS in html
    assert "show that it works, not that it helps" in FEW
    assert len(html) < 6_000_000


def test_an_empty_demo_says_so_for_every_part(tmp_path: Path):
    html = build_demo_report(tmp_path / "report.html", DemoContent()).read_text(encoding="utf-8")
    for words in (
        "No scan was handed",
        "found no problem",
        "No scan was redundant",
        "No method was pretrained",
        "No run saved pictures",
        "views of no scan",
        "No run logged",
        "Nothing was predicted",
        "No model was fine-tuned",
        "were not measured",
    ):
        assert words in html
    assert PHANTOMS not in html
    assert "<img" not in html


def test_only_classes_with_a_number_count_in_the_mean():
    assert Result("m", "i", {"a": 0.2, "b": 0.4, "c": np.nan}).mean_dice == pytest.approx(0.3)
    assert np.isnan(Result("m", "i", {}).mean_dice)


def test_the_same_content_gives_the_same_page(tmp_path: Path):
    content = demo_content(tmp_path / "runs")
    first, second = (build_demo_report(tmp_path / name, content).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_a_run_folder_that_is_not_there_is_refused(tmp_path: Path):
    content = DemoContent(runs=[PretrainRun("voco", "region", tmp_path / "absent")])
    with pytest.raises(InputError, match=r"expected a run folder, got nothing there \[run\]"):
        build_demo_report(tmp_path / "report.html", content)
    assert not (tmp_path / "report.html").exists()
