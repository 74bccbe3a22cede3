"""Labels onto the image's grid: every voxel keeps its place in the body."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from medssl.datasets.lattice import onto_lattice
from medssl.errors import InputError
from medssl.volume import Volume, reorient

RNG = np.random.default_rng(0)
AFFINE = np.array([[1.9, 0.1, 0.0, 5.0], [-0.1, 1.9, 0.2, -7.0], [0.0, -0.3, 3.0, 1.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=3)))
def test_every_turn_is_undone(axes, flips):
    truth = RNG.integers(0, 9, (1, 3, 4, 5))
    image = Volume(np.zeros((1, 3, 4, 5)), AFFINE)
    pairs = ["LR", "PA", "IS"]
    code = "".join(pairs[axis][int(flip)] for axis, flip in zip(axes, flips, strict=True))
    stored = reorient(Volume(truth, AFFINE), code)
    assert stored.orientation == code
    assert np.array_equal(onto_lattice(stored, image), truth[0])


def test_a_part_is_put_in_its_place():
    truth = RNG.integers(1, 9, (1, 4, 4, 4))
    step = np.eye(4)
    step[:3, 3] = (1, 0, 2)
    part = reorient(Volume(truth[:, 1:3, :, 2:], AFFINE @ step), "LPI")
    placed = onto_lattice(part, Volume(np.zeros((1, 4, 4, 4)), AFFINE), outside=255)
    assert np.array_equal(placed[1:3, :, 2:], truth[0, 1:3, :, 2:])
    assert (placed == 255).sum() == 64 - 16


@pytest.mark.parametrize("change", ["half", "zoom", "turn", "beyond"])
def test_another_lattice_is_refused(change):
    step = np.eye(4)
    if change == "half":
        step[0, 3] = 0.5
    elif change == "zoom":
        step[0, 0] = 1.01
    elif change == "turn":
        step[0, 1], step[1, 0] = -0.05, 0.05
    else:
        step[0, 3] = -1.0
    label = Volume(np.ones((1, 6, 6, 6)), AFFINE @ step)
    with pytest.raises(InputError, match=r"grid is not the image's|reaches beyond") as caught:
        onto_lattice(label, Volume(np.zeros((1, 6, 6, 6)), AFFINE))
    assert caught.value.code == "label"
