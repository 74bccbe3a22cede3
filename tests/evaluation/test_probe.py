"""Linear probes: what is there is found, what is not there is not, and nobody stands on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medssl.encoders.contract import Encoder, FeatureMap, Features
from medssl.errors import InputError
from medssl.evaluation.probe import Answers, linear_classes, probe
from medssl.evaluation.probe_crops import ProbeCrops


class Identity(Encoder):
    """Gives the image itself as its only level."""

    in_channels, channels, strides, width, dims, masking = 1, (1,), ((1, 1, 1),), 1, 3, "erase"

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, hidden=None, fill="drop", taps=()):  # noqa: D102
        return Features([FeatureMap(x, (1, 1, 1))], x.flatten(2).mean(2))


def crops(patients: range, seed: int, told: bool = True) -> ProbeCrops:
    """Two crops of each of two classes for each patient; the value is the class where it is told."""
    rng = np.random.default_rng(seed)
    classes = np.tile([1, 1, 2, 2], len(patients))
    voxels = np.stack([np.tile([value, 3 - value], 2) for value in classes])
    images = rng.normal(0, 0.1, (len(classes), 1, 4, 4, 4))
    places = np.stack([np.stack([[n, 0, 0] for n in range(4)])] * len(classes))
    if told:
        images += classes[:, None, None, None, None]
        for n, row in enumerate(voxels):
            images[n, 0, range(4), 0, 0] = row
    owners = np.repeat(list(patients), 4)
    return ProbeCrops(torch.from_numpy(images).float(), classes, owners, places, voxels)


@pytest.mark.parametrize("kind", ["pooled", "voxel"])
def test_what_is_there_is_found(kind) -> None:
    found = probe(Identity(), crops(range(6), 0), crops(range(6, 12), 1), kind)
    assert found.balanced_accuracy == 1.0
    rows = 24 if kind == "pooled" else 96
    assert found.truth.shape == found.predicted.shape == found.patients.shape == (rows,)
    assert found.patients.tolist() == sorted(found.patients.tolist())


def test_what_is_not_there_is_not_found() -> None:
    found = probe(Identity(), crops(range(30), 0, told=False), crops(range(30, 60), 1, told=False))
    assert 0.3 < found.balanced_accuracy < 0.7


def test_nobody_stands_on_both_sides() -> None:
    with pytest.raises(InputError, match="2 patients stand on both sides"):
        probe(Identity(), crops(range(4), 0), crops(range(2, 6), 1))


def test_one_class_and_broken_features_are_refused() -> None:
    train = crops(range(4), 0)
    with pytest.raises(InputError, match="two classes, got only \\[1\\]"):
        probe(Identity(), replace(train, classes=np.ones_like(train.classes)), crops(range(4, 6), 1))
    train.images[0] = torch.nan
    with pytest.raises(InputError, match="not finite"):
        probe(Identity(), train, crops(range(4, 6), 1))


def test_scale_and_offset_of_a_feature_and_the_share_of_a_class_change_nothing() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], [90, 10])
    rows = rng.normal(size=(100, 3)).astype(np.float32) + 2 * classes[:, None]
    test = rng.normal(size=(40, 3)).astype(np.float32) + np.repeat([0, 2], 20)[:, None]
    plain = linear_classes(rows, classes, test)
    moved = linear_classes(rows * 1000 - 7, classes, test * 1000 - 7)
    still = [np.concatenate([part, np.full((len(part), 1), 5.0, np.float32)], axis=1) for part in (rows, test)]
    assert (plain == moved).mean() > 0.97
    assert np.array_equal(plain, linear_classes(still[0], classes, still[1]))
    assert Answers(plain, np.repeat([0, 1], 20), np.zeros(40, dtype=np.int64)).balanced_accuracy > 0.85
