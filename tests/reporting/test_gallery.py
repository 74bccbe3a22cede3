from __future__ import annotations

import numpy as np

from medssl.reporting.gallery import Redundant, Thumbnail, gallery, kept_and_removed
from tests.reporting.samples import parse_svg

SCAN = Thumbnail("scan 1", np.ones((8, 16, 4)), np.diag([1.0, 1.0, 5.0, 1.0]), "8 × 16 × 4 voxels")
FLAT = Thumbnail("scan 2", np.ones((8, 4, 16)), np.diag([1.0, 5.0, 1.0, 1.0]))


def images(svg: str | bytes) -> list[dict[str, str]]:
    return [e.attrib for e in parse_svg(svg).iter() if e.tag.endswith("image")]


def test_every_scan_keeps_its_proportions_in_a_square():
    figure = gallery([SCAN, FLAT], "all")
    assert [(p.title, p.detail, p.alt) for p in figure.pictures] == [
        ("scan 1", "8 × 16 × 4 voxels", "middle axial slice of scan 1"),
        ("scan 2", "", "middle coronal slice of scan 2"),
    ]
    for picture in figure.pictures:
        (image,) = images(picture.image)
        assert float(image["height"]) == 2 * float(image["width"]) == 600


def test_what_was_left_out_stands_beside_what_was_kept_with_reason_and_distance():
    figure = kept_and_removed([Redundant(SCAN, FLAT, "nearly the same", 3, "of 64 bits")], "pairs")
    (pair,) = figure.pictures
    assert pair.title == "scan 1 stays, scan 2 is left out"
    assert pair.detail == "Nearly the same. Distance 3 of 64 bits."
    assert len(images(pair.image)) == 2
    assert [e.text for e in parse_svg(pair.image).iter() if e.text][-2:] == ["kept", "left out"]


def test_a_pair_without_a_distance_says_none():
    (pair,) = kept_and_removed([Redundant(SCAN, SCAN, "the same bytes.")], "pairs").pictures
    assert pair.detail == "The same bytes."
