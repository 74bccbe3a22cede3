"""The views of a recipe as a page, before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medssl.cli import run
from medssl.commands.pretrain import pretrain
from medssl.commands.preview import preview
from medssl.errors import InputError, RecipeError, UsageError
from tests.commands.tiny import recipe, simclr
from tests.training.tiny import make_scans


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    make_scans(folder)
    return folder


def test_a_page_shows_every_role_and_nothing_else_is_left(scans: Path, tmp_path: Path) -> None:
    asked = simclr(scans, tmp_path / "run")
    asked["views"] |= {"rotate_deg": 15.0, "augment": [{"name": "noise", "p": 1.0}]}
    asked["data"]["store"] = None
    found = preview(asked, out=tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    (stage,) = found["stages"]
    assert {role: facts["shape"] for role, facts in stage["roles"].items()} == {
        "view": [16, 16, 16],
        "partner": [16, 16, 16],
    }
    assert 0.3 < stage["roles"]["view"]["valid"] <= 1
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    # two samples of a view and its partner
    assert page.count("%3Eaugmented%3C") == 4
    assert "noise (sigma" in page
    assert not re.search(r"(src|href)=\"?https?:", page)


def test_the_same_step_shows_the_same_views(scans: Path, tmp_path: Path) -> None:
    pages = []
    for name, step in (("a", 3), ("b", 3), ("c", 4)):
        preview(simclr(scans, tmp_path / "run"), out=tmp_path / f"{name}.html", step=step, samples=1)
        pages.append((tmp_path / f"{name}.html").read_text(encoding="utf-8"))
    assert pages[0] == pages[1] != pages[2]


def test_masks_are_hatched_and_labels_outlined(scans: Path, tmp_path: Path) -> None:
    preview(recipe(scans, tmp_path / "run", method={"name": "spark"}), out=tmp_path / "masked.html", samples=1)
    assert "url(%23hatch)" in (tmp_path / "masked.html").read_text(encoding="utf-8").replace("#", "%23")
    found = preview(recipe(scans, tmp_path / "run", task={"name": "segment"}), out=tmp_path / "labels.html", samples=1)
    assert list(found["stages"][0]["roles"]) == ["patch"]
    assert "ball" in (tmp_path / "labels.html").read_text(encoding="utf-8")


def test_a_run_can_follow_where_a_preview_looked(scans: Path, tmp_path: Path) -> None:
    asked = simclr(scans, tmp_path / "run")
    preview(asked, out=tmp_path / "page.html")
    assert pretrain(asked)["steps"] == 2


def test_the_command_line_says_how_large_views_are(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [f"data.manifest={scans / 'manifest.csv'}", "data.split=train", f"out={tmp_path / 'run'}"]
    sets += ["views.crop=[16, 16, 16]", "method.grid=[2, 2, 1]"]
    code = run(
        ["preview", "hippocampus/pretrain_voco", *sets, "--out", str(tmp_path / "p.html"), "--samples", "1"], False
    )
    assert code == 0
    out = capsys.readouterr().out
    assert re.search(r"main +base +4 +16 × 16 × 16", out)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"out": "page.pdf"}, UsageError, "name of a .html file"),
        ({"samples": 0}, UsageError, "samples must be at least 1"),
        ({"step": -1}, UsageError, "step at least 0"),
    ],
)
def test_senseless_questions_are_refused(
    scans: Path, tmp_path: Path, given: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        preview(simclr(scans, tmp_path / "run"), **({"out": tmp_path / "p.html"} | given))  # type: ignore[arg-type]


def test_a_recipe_that_does_not_fit_is_refused_as_ever(scans: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean rotate_deg"):
        preview(simclr(scans, tmp_path / "run"), ["views.rotate=1"], out=tmp_path / "p.html")
    with pytest.raises(InputError, match=r"no row|no scan"):
        preview(simclr(scans, tmp_path / "run"), ["data.split=nobody", "data.store=null"], out=tmp_path / "p.html")
    assert not (tmp_path / "p.html").exists()
