from __future__ import annotations

import re
import resource
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import ResourceError, UsageError
from medssl.reporting.canvas import Canvas, png
from medssl.reporting.page import Figure, Key, Notice, Page, Picture, Table, cell_text

SVG = Canvas(10, 10).svg()


class _Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(html)
    return parser.tags


def full_page() -> Page:
    figure = Figure(
        (Picture(SVG, "one", "first", "more"), Picture(png(np.zeros((4, 4), np.uint8)), "two")), "both", "a pair"
    )
    page = Page("Title", "Subtitle", [("Scans", "3")], [Notice("Few scans")], "Footer")
    page.section("First", "One.\n\nTwo.", [figure, None, Figure(SVG, "alone", "single", (Key("liver", "#fff"),))])
    return page.section(
        "Second", tables=[Table(("name", "value"), [("a", 0.5)], "Numbers")], note="Mind", commands=["run"]
    )


def test_nothing_is_loaded_from_outside_and_nothing_runs():
    html = full_page().html()
    tags = tags_of(html)
    links = [value for _, attrs in tags for name, value in attrs.items() if name in ("src", "href", "srcset", "data")]
    assert len(links) >= 6
    assert all(str(link).startswith(("data:", "#")) for link in links)
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in tags}
    assert not re.search(r"https?:|url\(|@import", html)
    assert "default-src 'none'" in html


def test_every_picture_has_an_alt_text_and_every_section_stands_in_the_contents():
    tags = tags_of(full_page().html())
    assert [attrs["alt"] for tag, attrs in tags if tag == "img"] == ["one", "two", "single"]
    ids = {attrs["id"] for _, attrs in tags if "id" in attrs}
    targets = [str(attrs["href"])[1:] for tag, attrs in tags if tag == "a"]
    assert len(targets) == 3
    assert set(targets) <= ids


def test_figures_and_tables_are_numbered_and_notices_stand_out():
    html = full_page().html()
    assert html.index("Few scans") < html.index("Figure 1.") < html.index("Figure 2.") < html.index("Table 1.")
    assert html.count('class="notice"') == 2
    assert "<td class=num>0.500</td>" in html


def test_markup_in_any_text_is_escaped():
    bad = "<script>alert('x')</script>\"><b onload=x>"
    figure = Figure((Picture(SVG, bad, bad, bad),), bad, bad, (Key(bad, '"><script>'),))
    page = Page(bad, bad, [(bad, bad)], [Notice(bad)], bad)
    page.section(bad, bad, [figure], [Table((bad,), [(bad,)], bad)], bad, [bad]).section("b")
    tags = tags_of(page.html())
    assert not [tag for tag, attrs in tags if tag == "script" or "onload" in attrs]


def test_an_image_that_is_neither_png_nor_svg_is_refused():
    with pytest.raises(UsageError, match="bytes of a PNG or the text of an SVG"):
        Page("t").section("s", figures=[Figure(b"GIF89a", "c", "a")]).html()


def test_a_figure_without_alt_text_is_refused():
    with pytest.raises(UsageError, match="needs an alt text"):
        Figure(SVG, "caption", " ")


def test_a_row_of_another_length_is_refused():
    with pytest.raises(UsageError, match="row 2 must have 2 cells, got 1"):
        Table(("a", "b"), [("x", 1), ("y",)], "c")


def test_numbers_of_a_column_share_their_decimals():
    table = Table(("step", "seconds"), [("a", 1.25), ("b", 72.0), ("c", None)], "c")
    assert [row[1][0] for row in table.text_rows] == ["1.2", "72.0", "–"]
    assert table.numeric == [False, True]


def test_numpy_numbers_are_shown_as_plain_ones():
    assert cell_text(np.float32(0.5)) == "0.500"  # type: ignore[arg-type]
    assert cell_text(np.int64(12345)) == "12\u2009345"  # type: ignore[arg-type]


def test_the_page_is_the_same_each_time(tmp_path: Path):
    first, second = (full_page().write(tmp_path / name / "page.html") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_write_that_fails_leaves_the_old_page_and_no_rest(tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ResourceError, match=r"page.html: File too large.*\[disk\]"):
            full_page().write(page)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("page.html", "old")]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="expected a folder, got a file"):
        full_page().write(tmp_path / "file" / "page.html")
