from __future__ import annotations

import re

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.reporting.reconstruction import TILE, reconstruction, reconstruction_over_time
from tests.reporting.samples import masked_pictures, parse_svg


def hatched(svg: str | bytes) -> float:
    """User units squared that are covered by the hatch."""
    paths = [e.attrib["d"] for e in parse_svg(svg).iter() if e.attrib.get("fill") == "url(#hatch)"]
    sizes = re.findall(r"h([\d.]+)v([\d.]+)", " ".join(paths))
    return sum(float(width) * float(height) for width, height in sizes)


def texts(svg: str | bytes) -> list[str]:
    return [e.text for e in parse_svg(svg).iter() if e.tag.endswith("text")]


def test_hidden_cells_are_hatched_in_all_three_planes():
    figure = reconstruction(masked_pictures(), "c")
    assert figure is not None
    assert len(figure.pictures) == 2
    svg = figure.pictures[0].image
    assert texts(svg) == ["input", "seen", "rebuilt"]
    # the lower half along i is hidden: half of the axial and of the coronal slice, nothing at i = 4
    assert hatched(svg) == pytest.approx(TILE * TILE)
    assert str(svg).count("<image") == 9


def test_hidden_cells_may_be_given():
    pictures = masked_pictures()
    hidden = np.zeros((2, 1, 2, 2, 2), dtype=bool)
    hidden[:, :, 1] = True
    figure = reconstruction({**pictures, "hidden": hidden}, "c")
    assert figure is not None
    assert hatched(figure.pictures[0].image) == pytest.approx(2 * TILE * TILE)


def test_hidden_background_that_looks_like_its_filling_is_still_found():
    pictures = masked_pictures()
    pictures["input"][:, :, :4] = 0
    figure = reconstruction({**pictures, "masked": pictures["input"].copy()}, "c")
    assert figure is not None
    assert hatched(figure.pictures[0].image) == pytest.approx(TILE * TILE)


def test_a_network_that_draws_visible_cells_anew_does_not_hide_them():
    pictures = masked_pictures()
    figure = reconstruction({**pictures, "rebuilt": pictures["input"] + 0.25}, "c")
    assert figure is not None
    assert hatched(figure.pictures[0].image) == pytest.approx(TILE * TILE)


def test_steps_stand_side_by_side_first_and_last_among_them():
    figure = reconstruction_over_time({step: masked_pictures(step) for step in range(1, 11)}, "c", columns=4)
    assert figure is not None
    assert texts(figure.pictures[0].image) == ["input", "seen", "step 1", "step 4", "step 7", "step 10"]


def test_nothing_to_compare_gives_no_figure():
    assert reconstruction({"input": np.zeros((1, 1, 4, 4, 4))}, "c") is None
    assert reconstruction_over_time({5: masked_pictures()}, "c") is None


def test_arrays_of_another_rank_or_cells_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"5 dimensions \(N, C, i, j, k\), got shape"):
        reconstruction({"input": np.zeros((1, 4, 4)), "rebuilt": np.zeros((1, 4, 4))}, "c")
    with pytest.raises(UsageError, match=r"hidden cells \(3, 2, 2\) must divide"):
        reconstruction({**masked_pictures(), "hidden": np.zeros((2, 1, 3, 2, 2))}, "c")


def test_a_distorted_input_is_shown_as_the_network_saw_it():
    plain = {"input": np.zeros((1, 1, 4, 4, 4)), "rebuilt": np.ones((1, 1, 4, 4, 4))}
    seen = {**plain, "seen": np.eye(4)[None, None, :, :, None].repeat(4, axis=4)}
    one, two = reconstruction(plain, "c"), reconstruction(seen, "c")
    assert one.pictures[0].image != two.pictures[0].image
    assert hatched(two.pictures[0].image) == 0
    one, two = (reconstruction_over_time({0: shown, 5: shown}, "c") for shown in (plain, seen))
    assert one.pictures[0].image != two.pictures[0].image
