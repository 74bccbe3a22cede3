from __future__ import annotations

import numpy as np

from medssl.reporting.curves import Estimate, Series, curves, estimates, series_of, smooth
from tests.reporting.samples import parse_svg


def row(step: int, name: str, value: float, stage: str = "main") -> dict[str, str]:
    return {"step": str(step), "stage": stage, "name": name, "value": str(value)}


def test_series_are_taken_by_name():
    series = series_of([row(0, "loss", 2.0), row(0, "lr", 0.1), row(1, "loss", 1.0)], "loss")
    assert (series.step.tolist(), series.value.tolist()) == ([0, 1], [2, 1])


def test_stages_whose_steps_begin_again_are_laid_end_to_end():
    rows = [row(1, "loss", 3.0, "a"), row(2, "loss", 2.0, "a"), row(1, "loss", 1.0, "b"), row(2, "loss", 0.5, "b")]
    assert series_of(rows, "loss").step.tolist() == [1, 2, 3, 4]


def test_what_is_not_finite_is_left_out():
    step, value = Series("loss", np.arange(4), np.array([1.0, np.nan, np.inf, 4.0])).finite()
    assert (step.tolist(), value.tolist()) == ([0, 3], [1, 4])


def test_a_moving_average_keeps_straight_lines_straight():
    assert np.allclose(smooth(np.arange(9.0), 3)[1:-1], np.arange(1, 8))
    assert smooth(np.array([5.0]), 3).tolist() == [5.0]


def test_nothing_to_draw_gives_no_figure():
    assert curves({"a": [Series("loss", np.array([]), np.array([]))]}, "c") is None
    assert curves({"a": [Series("loss", np.array([1.0]), np.array([np.nan]))], "b": []}, "c") is None
    assert estimates([Estimate("a", float("nan"))], "c", unit="Dice", limits=(0, 1)) is None


def test_a_panel_a_title_with_its_ends_in_words():
    lines = [Series("positives", np.arange(30), np.linspace(0.25, 0.75, 30)), Series("negatives", [0], [0.5], 1)]
    figure = curves({"simclr": lines, "empty": []}, "c", unit="cosine")
    assert figure is not None
    (picture,) = figure.pictures
    assert picture.alt == "simclr: positives from 0.25 to 0.75; negatives from 0.5 to 0.5"
    assert [key.name for key in figure.legend] == ["positives", "negatives"]


def test_plots_are_text_without_links_that_follow_the_page_into_the_dark():
    def draw() -> str:
        figure = curves({"a": [Series("loss", np.arange(50), np.random.default_rng(0).random(50))]}, "c", unit="a < b")
        assert figure is not None
        return str(figure.pictures[0].image)

    svg = draw()
    parse_svg(svg)
    assert svg == draw()
    assert "a &lt; b" in svg
    assert "prefers-color-scheme:dark" in svg
    assert "#111213" not in svg
    assert "DejaVu" not in svg
    assert "matplotlib.org" not in svg
    assert len(svg) < 40_000


def test_estimates_say_their_numbers_in_words():
    figure = estimates([Estimate("voco", 0.5, 0.4, 0.6, (0.3, 0.7))], "c", unit="Dice", limits=(0, 1))
    assert figure is not None
    assert figure.alt == "Dice: voco 0.500"


def test_the_numbers_on_the_axes_are_whole():
    figure = curves({"rate": [Series("lr", np.arange(40), np.linspace(0, 0.001, 40))]}, "c", unit="value")
    assert figure is not None
    labels = [e.text for e in parse_svg(figure.pictures[0].image).iter() if e.tag.endswith("text")]
    assert "0.001" in {str(label).rstrip("0") for label in labels}
    assert len(labels) == len(set(labels))


def test_a_legend_stands_only_where_lines_share_a_plot():
    line = Series("loss", np.arange(3), np.arange(3))
    figure = curves({"a": [line], "b": [Series("lr", np.arange(3), np.arange(3))]}, "c")
    assert figure is not None
    assert figure.legend == ()


def test_a_schedule_is_drawn_as_it_is():
    assert series_of([row(0, "loss", 2.0)], "loss").noisy
    assert not series_of([row(0, "lr", 0.1)], "lr").noisy
