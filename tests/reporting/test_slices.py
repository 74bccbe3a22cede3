from __future__ import annotations

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.reporting.slices import three_planes
from tests.reporting.samples import parse_svg

AFFINE = np.diag([1.0, 2.0, 5.0, 1.0])
IMAGE = np.random.default_rng(0).random((20, 16, 8)).astype(np.float32)
LABEL = np.zeros((20, 16, 8), dtype=np.uint8)
LABEL[4:9, 3:8, 2:4] = 1
LABEL[12:15, 10:12, 2:3] = 2


def paths(svg: str | bytes) -> list[dict[str, str]]:
    return [e.attrib for e in parse_svg(svg).iter() if e.tag.endswith("path")]


def test_planes_have_the_proportions_of_the_body_at_one_scale():
    figure = three_planes(IMAGE, AFFINE, caption="scan")
    sizes = []
    for picture in figure.pictures:
        x, y, width, height = map(float, parse_svg(picture.image).attrib["viewBox"].split())
        assert (x, y) == (0, 0)
        assert picture.width == pytest.approx(width)
        sizes.append((width, height))
    mm = [(20, 32), (20, 40), (32, 40)]
    scale = sizes[0][0] / 20
    assert np.allclose(sizes, np.array(mm) * scale)


def test_slices_lie_where_most_labels_are_and_say_so():
    titles = [p.title for p in three_planes(IMAGE, AFFINE, caption="scan", label=LABEL).pictures]
    assert titles == ["axial, z = 10.0 mm", "coronal, y = 6.0 mm", "sagittal, x = 4.0 mm"]


def test_slices_at_stated_millimetres():
    affine = AFFINE.copy()
    affine[:3, 3] = -10
    titles = [p.title for p in three_planes(IMAGE, affine, caption="scan", at_mm=(3.2, -4.0, 900.0)).pictures]
    assert titles == ["axial, z = 25.0 mm", "coronal, y = −4.0 mm", "sagittal, x = 3.0 mm"]


def test_labels_are_solid_predictions_dashed_in_the_colour_of_their_class():
    colours = {"liver": "#111111", "spleen": "#222222"}
    classes = {1: "liver", 2: "spleen"}
    options = {"caption": "scan", "label": LABEL, "classes": classes, "colours": colours}
    alone = paths(three_planes(IMAGE, AFFINE, **options).pictures[0].image)
    both = paths(three_planes(IMAGE, AFFINE, prediction=np.roll(LABEL, 1, 0), **options).pictures[0].image)
    assert [(p["stroke"], "stroke-dasharray" in p) for p in alone] == [("#111111", False), ("#222222", False)]
    assert [(p["stroke"], "stroke-dasharray" in p) for p in both][2:] == [("#111111", True), ("#222222", True)]


def test_the_legend_names_the_classes_that_are_there():
    figure = three_planes(IMAGE, AFFINE, caption="c", label=LABEL, classes={1: "solid_organs", 2: "b", 3: "absent"})
    assert [key.name for key in figure.legend] == ["solid organs", "b"]
    figure = three_planes(IMAGE, AFFINE, caption="c", label=LABEL, prediction=LABEL)
    assert [(key.name, key.dashed) for key in figure.legend][2:] == [("label", False), ("prediction", True)]


def test_contours_follow_the_scan_when_it_is_flipped():
    flipped = AFFINE @ np.array([[-1, 0, 0, 19], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    plain = three_planes(IMAGE, AFFINE, caption="c", label=LABEL)
    other = three_planes(IMAGE[::-1], flipped, caption="c", label=LABEL[::-1])
    assert [p.image for p in plain.pictures] == [p.image for p in other.pictures]


def test_a_label_of_another_shape_is_refused():
    with pytest.raises(UsageError, match="must have the image's shape"):
        three_planes(IMAGE, AFFINE, caption="c", label=LABEL[1:])
