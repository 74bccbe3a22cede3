from __future__ import annotations

from pathlib import Path

import pytest

from medssl.reporting.demo_report import build_demo_report
from medssl.reporting.run_report import build_run_report
from tests.reporting.browser import check_page, find_browser
from tests.reporting.samples import demo_content, write_run


@pytest.fixture
def browser() -> str:
    found = find_browser()
    if found is None:
        pytest.skip("there is no chromium, chromium-browser or google-chrome on PATH")
    return found


@pytest.mark.parametrize("width", [420, 1200])
def test_the_demo_page_shows_every_picture_without_a_word_on_the_console(tmp_path: Path, browser: str, width: int):
    page = build_demo_report(tmp_path / "report.html", demo_content(tmp_path / "runs"))
    found = check_page(page, browser, width)
    assert found.images > 15
    assert (found.broken, found.errors, found.console) == ([], [], [])
    assert found.overflow <= 0


def test_the_page_of_a_run_shows_every_picture(tmp_path: Path, browser: str):
    found = check_page(build_run_report(write_run(tmp_path / "run", "mae", pictures=True)), browser)
    assert found.images > 4
    assert (found.broken, found.errors, found.console) == ([], [], [])


def test_the_check_finds_a_broken_picture_an_error_and_a_console_message(tmp_path: Path, browser: str):
    page = tmp_path / "bad.html"
    broken = '<img alt="torn" src="data:image/png;base64,iVBORw0KGgo=">'
    script = '<script>console.error("said aloud"); missing();</script>'
    page.write_text(f"<html><head></head><body>{broken}{script}<p style='width:3000px'>x</p></body></html>")
    found = check_page(page, browser)
    assert found.broken == ["torn"]
    assert any("missing" in error for error in found.errors)
    assert any("said aloud" in line for line in found.console)
    assert found.overflow > 0
