"""The wheel carries recipes and dataset cards, and works outside the clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reporting.browser import check_page, find_browser

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the built wheel was installed, without its dependencies (they are here already)."""
    work = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(work.glob("*.whl"))
    where = work / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(where)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return where


def run(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The installed command line, away from the clone."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "MEDSSL_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "medssl.cli", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_recipes_are_listed(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "recipe", "list", "--json")
    assert done.returncode == 0, done.stderr
    names = {item["name"] for item in json.loads(done.stdout)["recipes"]}
    assert {"demo/pretrain_voco", "hippocampus/pretrain_voco"} <= names


def test_cards_are_listed(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "data", "list")
    assert done.returncode == 0, done.stderr
    assert "samples" in done.stdout


def _look_at(page: Path) -> None:
    """Open the page in a browser, where there is one: no broken picture, no error on the console."""
    browser = find_browser()
    if browser is None:
        return
    found = check_page(page, browser)
    assert found.images > 10
    assert (found.broken, found.errors, found.console) == ([], [], [])


@pytest.mark.slow
def test_the_demo_runs_on_phantoms(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "demo", "--phantoms", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    page = Path(tmp_path / result["report"])
    assert page.is_file()
    assert page.read_text(encoding="utf-8").count("<img") > 10
    assert "phantom" in page.read_text(encoding="utf-8").lower()
    _look_at(page)
    assert {row["init"] for row in result["table"]} >= {"scratch", "simclr", "spark", "voco"}
