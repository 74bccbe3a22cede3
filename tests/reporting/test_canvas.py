from __future__ import annotations

import io

import numpy as np
from PIL import Image

from medssl.reporting.canvas import MAX_SIDE, Canvas, outlines, png
from tests.reporting.samples import parse_svg


def area(line: np.ndarray) -> float:
    """Shoelace formula."""
    x, y = line.T
    return 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def test_an_outline_of_a_rectangle_has_its_size_without_the_cut_corners():
    mask = np.zeros((10, 12), dtype=bool)
    mask[2:6, 3:11] = True
    (line,) = outlines(mask)
    assert line.min(axis=0).tolist() == [3.0, 2.0]
    assert line.max(axis=0).tolist() == [11.0, 6.0]
    assert area(line) == 4 * 8 - 4 * 0.125
    assert len(line) == 8


def test_outlines_close_at_the_border_and_around_holes():
    ring = np.ones((5, 5), dtype=bool)
    ring[2, 2] = False
    lines = outlines(ring)
    assert sorted(round(area(line), 3) for line in lines) == [0.5, 24.5]
    assert outlines(np.zeros((3, 3), dtype=bool)) == []


def test_a_large_slice_is_averaged_down_and_keeps_its_proportions():
    pixels = np.zeros((MAX_SIDE * 2, MAX_SIDE), dtype=np.uint8)
    assert Image.open(io.BytesIO(png(pixels))).size == (MAX_SIDE // 2, MAX_SIDE)


def test_pixels_survive_and_bytes_repeat():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)
    assert png(pixels) == png(pixels.copy())


def test_the_svg_is_well_formed_whatever_is_written():
    canvas = Canvas(100, 50)
    canvas.image(np.zeros((4, 4), dtype=np.uint8), 0, 0, 100, 50)
    canvas.lines([np.array([[0.0, 0.0], [1.25, 2.0], [3.0, 3.0]])], "#fff", dash="4 2")
    canvas.hatch([(0, 0, 10, 10)], 4)
    canvas.text(1, 2, '</text><script>"&', 5)
    root = parse_svg(canvas.svg())
    names = [element.tag.split("}")[1] for element in root]
    assert names == ["rect", "image", "path", "defs", "path", "text"]
    assert root[2].attrib["d"] == "M0 0L1.2 2L3 3Z"
