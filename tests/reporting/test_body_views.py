from __future__ import annotations

import numpy as np
import pytest

from medssl.reporting.body_views import silhouette, view_strip, views_in_body
from medssl.reporting.plane import AXIAL, CORONAL, upright
from medssl.views.grid import Box, Grid, about_centre
from tests.reporting.samples import parse_svg

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
IMAGE = np.random.default_rng(0).random((20, 20, 10)).astype(np.float32)


def place(index: tuple[int, int, int]) -> np.ndarray:
    out = AFFINE.copy()
    out[:3, 3] = 2.0 * np.array(index)
    return out


def turned(degrees: float) -> Grid:
    a = np.deg2rad(degrees)
    matrix = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return Grid.of((8, 8, 4), place((6, 6, 3))).then(about_centre(matrix, (8, 8, 4)))


def area(line: np.ndarray) -> float:
    x, y = line.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def test_a_box_shows_as_the_rectangle_of_its_voxels():
    line = silhouette(CORONAL, upright(IMAGE, AFFINE), Box(place((2, 5, 1)), (4, 4, 6)))
    # i from 2 to 6 of 20 seen from the right, k from 1 to 7 of 10 seen from above
    assert sorted(map(tuple, line.tolist())) == [(14, 3), (14, 9), (18, 3), (18, 9)]


def test_a_turned_grid_shows_as_a_turned_square_of_the_same_size():
    line = silhouette(AXIAL, upright(IMAGE, AFFINE), turned(30))
    assert len(line) == 4
    assert area(line) == pytest.approx(64)
    sides = np.linalg.norm(line - np.roll(line, 1, axis=0), axis=1)
    assert np.allclose(sides, 8)
    assert not np.isclose(line[:, None], line[None], atol=1e-3).any(axis=2)[~np.eye(4, dtype=bool)].any()


def test_a_turned_grid_seen_from_the_side_is_as_wide_as_its_diagonal():
    line = silhouette(CORONAL, upright(IMAGE, AFFINE), turned(45))
    assert np.ptp(line, axis=0) == pytest.approx([8 * np.sqrt(2), 4])


def test_outlines_do_not_depend_on_how_the_scan_is_stored():
    flipped = AFFINE @ np.array([[-1, 0, 0, 19], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    boxes = {"base": [Box(place((2, 5, 1)), (4, 4, 6))], "query": [turned(30)]}
    plain, other = views_in_body(IMAGE, AFFINE, boxes, "c"), views_in_body(IMAGE[::-1], flipped, boxes, "c")
    assert [p.image for p in plain.pictures] == [p.image for p in other.pictures]


def test_base_views_are_dashed_frames_and_others_numbered():
    figure = views_in_body(IMAGE, AFFINE, {"base": [turned(0)], "query": [turned(0), turned(45)]}, "c")
    root = parse_svg(figure.pictures[0].image)
    lines = [e.attrib for e in root.iter() if e.tag.endswith("path")]
    assert ["stroke-dasharray" in line for line in lines] == [True, False, False]
    assert [e.text for e in root.iter() if e.tag.endswith("text")][:2] == ["1", "2"]
    assert [(key.name, key.dashed) for key in figure.legend] == [("base", True), ("query", False)]


def test_the_views_themselves_are_shown_by_role():
    strip = view_strip({"base": np.ones((3, 1, 4, 4, 4)), "query": np.ones((1, 1, 4, 4, 4))}, "c", most=2)
    assert strip is not None
    assert [p.title for p in strip.pictures] == ["base 1", "base 2", "query 1"]
    assert view_strip({}, "c") is None
